// Go's net/http with Server.Shutdown, as its documentation shows it.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"
)

var filling = strings.Repeat("x", 400_000)

func greet(w http.ResponseWriter, r *http.Request) {
	text := fmt.Sprintf("Hello, %s!\n", path.Base(r.URL.Path))
	if strings.HasPrefix(r.URL.Path, "/big/") {
		text += filling
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	fmt.Fprint(w, text)
}

func main() {
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: http.HandlerFunc(greet)}
	closed := make(chan struct{})
	go func() {
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		<-terminated
		if err := server.Shutdown(context.Background()); err != nil {
			log.Print(err)
		}
		close(closed)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-closed
}
