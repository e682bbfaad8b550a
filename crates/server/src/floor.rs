//! Answers a `get` with a constant, whatever the key: what is left of the time is what reading, parsing and
//! writing cost. For measuring only.

use larder_proto::server::Request;
use larder_proto::server::text::Command;

use crate::exec;

/// The value of every key.
const VALUE: &[u8] = b" 0 32\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n";

/// Answers a request if it is one that has a constant answer; whether it is.
pub(crate) fn answer(request: &Request<'_>, out: &mut Vec<u8>) -> bool {
    match request {
        Request::Text(Command::Get { keys, .. }) => {
            for key in *keys {
                out.extend_from_slice(b"VALUE ");
                out.extend_from_slice(key);
                out.extend_from_slice(VALUE);
            }
            out.extend_from_slice(b"END\r\n");
        }
        Request::Text(Command::Version) => {
            // So that whoever measures sees what it is.
            out.extend_from_slice(format!("VERSION {} floor\r\n", exec::VERSION).as_bytes());
        }
        _ => return false,
    }
    true
}
