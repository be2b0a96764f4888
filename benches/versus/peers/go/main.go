// Go's net/http.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
)

func greet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Hello, %s!\n", strings.TrimPrefix(r.URL.Path, "/"))
}

func main() {
	http.HandleFunc("/", greet)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
