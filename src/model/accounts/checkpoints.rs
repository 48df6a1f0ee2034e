//! Checkpoints of the audit: what is written outside the database of how far each account's chain had come, so that
//! whoever rewrites the database's chains is found out. A file of them is lines of JSON: a head for each chain that has
//! grown since the checkpoint before, and then the signed line of the checkpoint itself.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::ids::AccountId;
use crate::model::{Time, canonical};

/// How far an account's chain has come: the sequence and the hash of its last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub account_id: AccountId,
    pub sequence: i64,
    pub hash: String,
}

/// What a checkpoint says, and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// From 1, without a gap.
    pub number: i64,
    pub time: Time,
    /// How many heads stand ahead of it.
    pub heads: u64,
    /// The SHA-256 of their lines, in hexadecimal.
    pub root: String,
    /// The SHA-256 of the line of the checkpoint before; empty in the first. So each vouches for all that came before.
    pub before: String,
    /// Which key signed it: the first half of its public half's SHA-256.
    pub key: String,
    /// Ed25519, in hexadecimal, over the line without this member.
    #[serde(default)]
    pub signature: String,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Head(Head),
    Checkpoint(Checkpoint),
    /// What was begun ahead of this line was not brought to its end.
    Abandoned {},
}

impl Line {
    fn text(&self) -> String {
        canonical(&serde_json::to_value(self).expect("lines serialize"))
    }
}

/// The line after something that was not brought to its end.
pub fn abandoned() -> String {
    Line::Abandoned {}.text()
}

/// The lines of some heads, each with its end.
pub fn heads(heads: &[Head]) -> String {
    heads.iter().flat_map(|head| [Line::Head(head.clone()).text(), "\n".into()]).collect()
}

/// The SHA-256 in hexadecimal.
pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

impl Checkpoint {
    /// The signed line, without its end.
    pub fn line(&self) -> String {
        Line::Checkpoint(self.clone()).text()
    }

    /// What is signed.
    pub fn said(&self) -> String {
        let mut said = serde_json::to_value(Line::Checkpoint(self.clone())).expect("lines serialize");
        said.as_object_mut().map(|members| members.remove("signature"));
        canonical(&said)
    }

    /// The checkpoint that a line is, if it is one.
    pub fn parse(line: &str) -> Option<Self> {
        match serde_json::from_str(line) {
            Ok(Line::Checkpoint(checkpoint)) => Some(checkpoint),
            _ => None,
        }
    }
}

/// A checkpoint as it was found in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub checkpoint: Checkpoint,
    pub line: String,
    pub heads: Vec<Head>,
    /// Whether the heads ahead of it are those it was made for, and it is written as it is to be.
    pub fits: bool,
}

/// The checkpoints of a file, in the order they stand there. What was not brought to its end is passed over.
pub fn read(file: impl BufRead) -> io::Result<Vec<Found>> {
    let (mut found, mut pending, mut sum, mut torn) = (Vec::new(), Vec::new(), Sha256::new(), false);
    for line in file.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        match serde_json::from_str::<Line>(&line) {
            Ok(Line::Head(head)) => {
                sum.update(&line);
                sum.update("\n");
                pending.push(head);
                continue;
            }
            Ok(Line::Checkpoint(checkpoint)) => {
                let heads = std::mem::take(&mut pending);
                let is_sum = hex::encode(sum.clone().finalize()) == checkpoint.root;
                let is_plain = checkpoint.line() == line && checkpoint.heads == heads.len() as u64;
                found.push(Found { fits: !torn && is_sum && is_plain, heads, line, checkpoint });
            }
            Ok(Line::Abandoned {}) => {}
            Err(_) => {
                torn = true;
                continue;
            }
        }
        (pending, sum, torn) = (Vec::new(), Sha256::new(), false);
    }
    Ok(found)
}

/// How a file ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// The last checkpoint's number and line.
    pub last: Option<(i64, String)>,
    /// Whether something stands behind it that was not brought to its end.
    pub unfinished: bool,
    /// Whether the file ends within a line.
    pub torn: bool,
}

/// How a text that is a file's end, from the beginning of a line, ends. None if no checkpoint is in it.
pub fn end(text: &str) -> Option<End> {
    let mut behind = text.len();
    for line in text.split('\n').rev() {
        let start = behind - line.len();
        if let Some(checkpoint) = Checkpoint::parse(line) {
            let rest = &text[behind..];
            let closed = rest.trim_end_matches('\n').rsplit('\n').next() == Some(abandoned().as_str());
            return Some(End {
                last: Some((checkpoint.number, line.to_owned())),
                unfinished: !rest.trim_matches('\n').is_empty() && !closed,
                torn: !rest.ends_with('\n'),
            });
        }
        behind = start.saturating_sub(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(number: i64, of: &[Head], before: &str) -> Checkpoint {
        Checkpoint {
            number,
            time: Time::EPOCH,
            heads: of.len() as u64,
            root: digest(&heads(of)),
            before: digest(before),
            key: "key".into(),
            signature: "signature".into(),
        }
    }

    fn head(sequence: i64) -> Head {
        Head { account_id: AccountId::new(), sequence, hash: "hash".into() }
    }

    /// AUD-3
    #[test]
    fn what_was_written_is_read_again_and_what_was_not_brought_to_its_end_is_passed_over() {
        let (one, two) = ([head(1), head(2)], [head(3)]);
        let first = checkpoint(1, &one, "");
        let second = checkpoint(2, &two, &first.line());
        let whole = format!("{}{}\n{}{}\n", heads(&one), first.line(), heads(&two), second.line());
        let found = read(whole.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|found| found.fits));
        assert_eq!((&found[0].heads[..], &found[1].checkpoint), (&one[..], &second));
        let cut = format!("{}{}\n{}\n", heads(&one), first.line(), &heads(&two)[..40]);
        let mended = format!("{cut}{}\n{}{}\n", abandoned(), heads(&two), second.line());
        assert_eq!(read(mended.as_bytes()).unwrap(), found);
        assert_eq!(read(cut.as_bytes()).unwrap(), found[..1]);
        let unmended = format!("{cut}{}{}\n", heads(&two), second.line());
        assert!(!read(unmended.as_bytes()).unwrap()[1].fits, "what is torn is not passed over in silence");
        assert!(!second.said().contains("signature"));
    }

    #[test]
    fn a_file_tells_how_it_ends() {
        let first = checkpoint(1, &[], "");
        let line = first.line();
        let last = Some((1, line.clone()));
        for (behind, unfinished, torn) in [
            ("", false, true),
            ("\n", false, false),
            ("\n{\"type\":\"he", true, true),
            ("\n{\"type\":\"head\"}\n", true, false),
            ("\nrubbish\n{\"type\":\"abandoned\"}\n", false, false),
        ] {
            let text = format!("earlier\n{line}{behind}");
            assert_eq!(end(&text), Some(End { last: last.clone(), unfinished, torn }), "{behind}");
        }
        assert_eq!(end("no checkpoint\n"), None);
    }
}
