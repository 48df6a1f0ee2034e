//! Where requests begin and end in what comes over a connection. The parser behind this one takes a bare LF for the end
//! of a line, and what stands in front of us may not: then both see different requests. So each line of a head,
//! of a chunk and of trailers must end with CR LF, and what does not is spoiled before the parser sees it.

use std::mem::take;

/// How much of a line is looked at; only longer ones that say where a body ends are refused for it.
const LOOKED_AT: usize = 256;

/// Follows the requests of one connection.
#[derive(Debug)]
pub struct Framing {
    at: At,
    /// The beginning of the line that is not complete yet.
    line: Vec<u8>,
    /// Whether there was more of it.
    cut: bool,
    last: u8,
    head: Head,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nothing of a request has come but empty lines.
    Start,
    Header,
    Chunk,
    /// Behind a chunk's bytes.
    ChunkEnd,
    Trailer,
    /// So many bytes of a body are still to come, in chunks or not.
    Body(u64, bool),
    /// All that comes is one body, and the connection ends with it.
    Endless,
    /// It is refused; what comes is spoiled with this.
    Refused(u8),
}

/// What the head says of the body.
#[derive(Debug, Default)]
struct Head {
    length: u64,
    chunked: bool,
    endless: bool,
}

impl Framing {
    pub fn new() -> Self {
        Self { at: At::Start, line: Vec::new(), cut: false, last: 0, head: Head::default() }
    }

    /// Whether a head has begun and not ended.
    pub fn is_in_head(&self) -> bool {
        self.at == At::Header || (self.at == At::Start && !self.line.is_empty())
    }

    /// Whether a head has ended and its body has not.
    pub fn is_in_body(&self) -> bool {
        matches!(self.at, At::Chunk | At::ChunkEnd | At::Trailer | At::Body(..) | At::Endless)
    }

    /// Takes note of what has come, and spoils it where it must not be read on.
    pub fn feed(&mut self, bytes: &mut [u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            done += match self.at {
                At::Refused(spoiler) => {
                    rest.fill(spoiler);
                    return;
                }
                At::Endless => return,
                At::Body(left, chunked) => {
                    let here = left.min(rest.len() as u64);
                    self.at = match left - here {
                        0 if chunked => At::ChunkEnd,
                        0 => At::Start,
                        left => At::Body(left, chunked),
                    };
                    here as usize
                }
                _ => self.read_line(rest),
            };
        }
    }

    /// Reads to the end of a line and says how much that was.
    fn read_line(&mut self, rest: &mut [u8]) -> usize {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let part = &rest[..end.unwrap_or(rest.len())];
        let room = LOOKED_AT - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        self.cut |= part.len() > room;
        self.last = part.last().copied().unwrap_or(self.last);
        let Some(end) = end else { return rest.len() };
        let (mut line, cut, last) = (take(&mut self.line), take(&mut self.cut), take(&mut self.last));
        if !cut {
            line.pop();
        }
        // In a head NUL is nowhere allowed, and in the lines of chunks a CR is followed by LF only.
        let spoiler = if matches!(self.at, At::Start | At::Header) { 0 } else { b'\r' };
        let next = if last == b'\r' { self.after(&line, cut) } else { None };
        self.at = next.unwrap_or(At::Refused(spoiler));
        if next.is_some() { end + 1 } else { end }
    }

    /// What comes behind a line; nothing if the line will not do.
    fn after(&mut self, line: &[u8], cut: bool) -> Option<At> {
        match self.at {
            At::Start if line.is_empty() => Some(At::Start),
            At::Start => {
                self.head = Head { endless: line.starts_with(b"CONNECT "), ..Head::default() };
                Some(At::Header)
            }
            At::Header if line.is_empty() => Some(match take(&mut self.head) {
                Head { chunked: true, .. } => At::Chunk,
                Head { endless: true, .. } => At::Endless,
                Head { length: 0, .. } => At::Start,
                Head { length, .. } => At::Body(length, false),
            }),
            At::Header => self.header(line, cut).map(|()| At::Header),
            At::Chunk if cut => None,
            At::Chunk => {
                let size = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next()?;
                let size =
                    std::str::from_utf8(size).ok().filter(|_| size.iter().all(u8::is_ascii_hexdigit))?;
                Some(match u64::from_str_radix(size, 16).ok()? {
                    0 => At::Trailer,
                    size => At::Body(size, true),
                })
            }
            At::ChunkEnd => line.is_empty().then_some(At::Chunk),
            At::Trailer if line.is_empty() => Some(At::Start),
            At::Trailer => (!cut && !line.contains(&b'\r')).then_some(At::Trailer),
            At::Body(..) | At::Endless | At::Refused(_) => None,
        }
    }

    fn header(&mut self, line: &[u8], cut: bool) -> Option<()> {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii());
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("transfer-encoding") {
            self.head.chunked = true;
        } else if is("content-length") {
            let digits = std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
            self.head.length = digits?.parse().ok()?;
        } else if is("upgrade") {
            self.head.endless |= value.eq_ignore_ascii_case(b"websocket");
        } else {
            return Some(());
        }
        (!cut).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser sees of these bytes when they come in parts of this size, and whether a request is complete then.
    fn seen(text: &str, part: usize) -> (Vec<u8>, bool) {
        let mut framing = Framing::new();
        let mut bytes = text.as_bytes().to_vec();
        bytes.chunks_mut(part).for_each(|part| framing.feed(part));
        (bytes, !framing.is_in_head() && !framing.is_in_body())
    }

    const REQUESTS: [&str; 5] = [
        "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: x\r\ncontent-LENGTH:  12 \r\n\r\n{\n\"a\":\n\"b\"}",
        "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na\nb\nc\r\n1;x=y\r\n\n\r\n0\r\nDigest: x\r\n\r\n",
        "PUT /d HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "\r\nDELETE /e HTTP/1.1\r\nX: y\r\n\r\n",
    ];

    #[test]
    fn requests_are_told_apart_however_they_are_cut() {
        let all = REQUESTS.concat();
        for part in 1..all.len() {
            assert_eq!(seen(&all, part), (all.as_bytes().to_vec(), true), "in parts of {part}");
        }
        for request in REQUESTS {
            for end in 1..request.len() {
                let done = request[..end].trim_start_matches("\r\n").is_empty();
                assert_eq!(seen(&request[..end], 7).1, done, "{:?}", &request[..end]);
            }
        }
    }

    #[test]
    fn what_ends_its_lines_with_a_bare_lf_is_spoiled_from_there_on() {
        for wrong in [
            "GET /a HTTP/1.1\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n\n",
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n",
        ] {
            for text in [wrong.to_owned(), format!("{}{wrong}", REQUESTS.concat())] {
                for part in 1..text.len() {
                    let (bytes, _) = seen(&format!("{text}GET /b HTTP/1.1\r\nHost: x\r\n\r\n"), part);
                    let same =
                        bytes.iter().zip(text.as_bytes()).take_while(|(one, other)| one == other).count();
                    assert!(same < text.len(), "{text:?} in parts of {part}");
                    let spoiler = bytes[same];
                    assert!([0, b'\r'].contains(&spoiler), "{text:?}");
                    assert!(bytes[same..].iter().all(|byte| *byte == spoiler), "{text:?} in parts of {part}");
                }
            }
        }
    }
}
