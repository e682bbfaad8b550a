//! A headless browser, through its WebDriver server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;

use crate::process::{Launch, PATIENCE, Process, retry};
use crate::requirements;
use crate::scratch;

/// A private ChromeDriver on a loopback port, killed on drop with the browsers it started.
#[derive(Debug)]
pub struct ChromeDriver {
    address: SocketAddr,
    process: Process,
    _dir: TempDir,
}

impl ChromeDriver {
    /// Starts it. Sessions are to be opened with [`chromium_args`].
    ///
    /// # Panics
    ///
    /// When Chromium or ChromeDriver is not installed or does not start.
    #[must_use]
    pub fn start() -> ChromeDriver {
        requirements::program("chromium");
        retry("chromedriver", || {
            let dir = scratch::directory("chromedriver", None);
            let address = scratch::free_address();
            let mut process = Launch::new("chromedriver", None, dir.path().join("log"))
                .args([format!("--port={}", address.port())])
                // Where its browsers put what they leave when they are killed.
                .env("TMPDIR", dir.path())
                .spawn();
            process.guard_group();
            if !process
                .becomes_ready(|| request(address, "GET", "/status", "").contains("\"ready\":true"))
            {
                return Err(process.log());
            }
            Ok(ChromeDriver { address, process, _dir: dir })
        })
    }

    /// Kills it (SIGKILL) with its browsers and waits for its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Where WebDriver requests go: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Arguments for one headless browser (`goog:chromeOptions` / `args`) with a fresh profile, no
/// sandbox (tests run as root in containers) and nothing that calls home. A profile belongs to one
/// browser: call it for each session.
#[must_use]
pub fn chromium_args() -> Vec<String> {
    const ARGS: [&str; 9] = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ];
    let profile = scratch::unowned_path("chromium");
    let mut args: Vec<String> = ARGS.map(String::from).into();
    args.push(format!("--user-data-dir={}", profile.display()));
    args
}

/// One HTTP exchange; the body of the reply, empty if there is none.
fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    // Not listening yet, or gone: no reply.
    exchange(address, method, path, body).unwrap_or_default()
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    // ChromeDriver keeps the connection open even when asked to close it: the length tells the end.
    let mut reply = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while reply.read_line(&mut line)? > 0 && line != "\r\n" {
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reply.read_exact(&mut body)?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::wait_until;

    /// The ids of the processes whose command line names `profile`.
    fn browsers(profile: &str) -> usize {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .filter(|line| String::from_utf8_lossy(line).contains(profile))
            .count()
    }

    /// A session that has opened a page; returns the argument that marks its browser.
    fn open_a_page(driver: &ChromeDriver) -> String {
        let args = chromium_args();
        let quoted: Vec<String> = args.iter().map(|arg| format!("\"{arg}\"")).collect();
        let capabilities = format!(
            "{{\"capabilities\":{{\"alwaysMatch\":{{\"goog:chromeOptions\":{{\"args\":[{}]}}}}}}}}",
            quoted.join(",")
        );
        let session = request(driver.address, "POST", "/session", &capabilities);
        let (_, rest) =
            session.split_once("\"sessionId\":\"").unwrap_or_else(|| panic!("{session}"));
        let (id, _) = rest.split_once('"').unwrap();
        let page = "{\"url\":\"data:text/html,<title>larder</title>\"}";
        request(driver.address, "POST", &format!("/session/{id}/url"), page);
        let title = request(driver.address, "GET", &format!("/session/{id}/title"), "");
        assert!(title.contains("\"value\":\"larder\""), "{title}");
        let profile = args.last().unwrap().clone();
        assert!(browsers(&profile) > 0);
        profile
    }

    fn ends(profile: &str) -> bool {
        wait_until(PATIENCE, || browsers(profile) == 0)
    }

    #[test]
    fn opens_a_page_and_dies_on_drop_with_its_browser() {
        let driver = ChromeDriver::start();
        let profile = open_a_page(&driver);
        drop(driver);
        assert!(ends(&profile), "a browser is left");
    }

    #[test]
    fn a_browser_dies_with_the_process_that_started_its_driver() {
        let mut driver = ChromeDriver::start();
        let profile = open_a_page(&driver);
        driver.process.alarm_guard();
        assert!(ends(&profile), "a browser is left");
    }
}
