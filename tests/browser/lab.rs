//! A running `helloop lab`, and its page.

use crate::browser::chromium::{Page, View};
use crate::examples::example;
use crate::program::{Program, command};

/// A lab with ports of the system's choice. Dropping it kills it.
pub(crate) struct Lab {
    pub(crate) program: Program,
    /// The address of the page.
    pub(crate) url: String,
}

impl Lab {
    #[track_caller]
    pub(crate) fn start(more: &[&str]) -> Lab {
        let arguments = ["lab", "--listen", "localhost:0", "--page", "localhost:0"];
        Lab::of(&[&arguments, more].concat())
    }

    /// Beside an ordinary server.
    #[track_caller]
    pub(crate) fn beside_a_server() -> Lab {
        Lab::of(&["serve", "--listen", "localhost:0", "--lab", "localhost:0"])
    }

    /// Beside a loop without a server: the example `stepped`, which is held.
    #[track_caller]
    pub(crate) fn beside_a_loop() -> Lab {
        let program = Program::start_saying("Lab at ", &mut example("stepped", &[]));
        Lab { url: program.url.clone(), program }
    }

    /// A simulated world: a seed, or a recipe.
    #[track_caller]
    pub(crate) fn simulated(recipe: &str) -> Lab {
        let mut lab = command(&["lab", "--sim", recipe, "--page", "localhost:0"]);
        let program = Program::start_lab(&mut lab);
        Lab { url: program.url.clone(), program }
    }

    #[track_caller]
    fn of(arguments: &[&str]) -> Lab {
        let mut program = Program::start(&mut command(arguments));
        let said = program.said.iter().find(|line| line.contains("Lab at ")).cloned();
        let line = said.unwrap_or_else(|| program.wait_for("Lab at "));
        let url = line.rsplit(' ').next().unwrap().to_owned();
        Lab { program, url }
    }

    /// The page, as soon as it shows the loop.
    #[track_caller]
    pub(crate) fn page(&self) -> Page {
        let mut page = Page::open(&self.url, View::WIDE);
        page.until_connected();
        page
    }
}

/// What a test asks of the lab's page.
impl Page {
    #[track_caller]
    pub(crate) fn until_connected(&mut self) {
        self.until("document.querySelector('#status').textContent !== 'connecting'");
    }

    #[track_caller]
    pub(crate) fn until_status(&mut self, status: &str) {
        self.until(&format!("document.querySelector('#status').textContent === '{status}'"));
    }

    /// How often the loop has been held so far, as the page knows.
    #[track_caller]
    pub(crate) fn stops(&mut self) -> u64 {
        let stops = self.value("Number(document.querySelector('#status').dataset.stops)");
        stops.as_u64().unwrap()
    }

    /// Presses a button that ends with the loop held, and waits for that.
    #[track_caller]
    pub(crate) fn press_and_stop(&mut self, selector: &str) {
        let stops = self.stops();
        self.press(selector);
        self.until(&format!("document.querySelector('#status').dataset.stops > {stops}"));
        self.until_status("held");
    }

    #[track_caller]
    pub(crate) fn turn(&mut self) -> u64 {
        self.text("#turn-number").trim_start_matches("turn ").parse().unwrap()
    }

    /// The lines of the text log in which `text` stands, oldest first.
    #[track_caller]
    pub(crate) fn told(&mut self, text: &str) -> Vec<String> {
        let log = self.value("document.querySelector('#log-text').textContent");
        let log = log.as_str().unwrap();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Waits until a text stands so often in the text log, which must be open.
    #[track_caller]
    pub(crate) fn until_told(&mut self, text: &str, times: usize) {
        let log = "document.querySelector('#log-text').textContent";
        self.until(&format!("{log}.split('{text}').length > {times}"));
    }
}
