//! SQLite behind a server: what blocks runs on a helper thread, and the loop serves others meanwhile.
//! `cargo run --bin sqlite -- FILE`, then `curl -d 'a note' http://localhost:8080/` and `curl http://localhost:8080/`.

use std::error::Error;
use std::sync::{Arc, Mutex};

use helloop::http::{Response, Status};
use helloop::server::{OwnedRequest, Server, coroutines};
use rusqlite::Connection;

/// One connection, of which one thread at a time has the use: SQLite writes one at a time in any case.
type Database = Arc<Mutex<Connection>>;

fn all(database: &Database) -> rusqlite::Result<String> {
    let database = database.lock().expect("no query panics");
    let mut query = database.prepare("SELECT number, text FROM notes ORDER BY number")?;
    let lines = query.query_map((), |row| {
        Ok(format!("{}: {}\n", row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    lines.collect()
}

fn add(database: &Database, text: &str) -> rusqlite::Result<String> {
    let database = database.lock().expect("no query panics");
    database.execute("INSERT INTO notes (text) VALUES (?1)", [text])?;
    Ok(format!("{}\n", database.last_insert_rowid()))
}

async fn answer(request: OwnedRequest, database: Database) -> Response {
    let text = request.text().unwrap_or_default().to_owned();
    let is_new = request.method() == "POST";
    let work = move || if is_new { add(&database, &text) } else { all(&database) };
    let mut response = Response::new();
    match request.handle().run_blocking(work).await {
        Ok(Ok(text)) => response.text(text),
        Ok(Err(error)) => response.status(Status::INTERNAL_SERVER_ERROR).text(error),
        Err(error) => response.status(Status::INTERNAL_SERVER_ERROR).text(error),
    };
    response
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: sqlite FILE [ADDRESS]")?;
    let address = std::env::args().nth(2).unwrap_or_else(|| "localhost:8080".into());
    let database = Connection::open(path)?;
    database
        .execute("CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, text TEXT)", ())?;
    let database = Arc::new(Mutex::new(database));
    let server = Server::builder().bind(&address)?;
    println!("Server started at http://{}/", server.local_addrs()[0]);
    server.serve_until_signal(coroutines(move |request| answer(request, database.clone())))?;
    Ok(())
}
