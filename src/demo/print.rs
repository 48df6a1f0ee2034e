//! The story on paper: steps, calls and answers, in colours on a terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal};

use crate::cli::say;

/// How wide prose is set.
const WIDTH: usize = 100;

/// A way to set a piece of text off.
#[derive(Debug, Clone, Copy)]
pub enum Ink {
    Bold,
    Faint,
    Good,
    Bad,
    Call,
}

/// Where the story is told: stdout.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    colours: bool,
}

impl Page {
    /// In colours only where somebody sees them and has not asked for none.
    pub fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: io::stdout().is_terminal() && !refused }
    }

    pub fn ink(&self, ink: Ink, text: impl Display) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Faint => "2",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Call => "36",
        };
        match self.colours {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }

    pub fn line(&self, text: impl Display) -> io::Result<()> {
        say(text)
    }

    /// Text of more than one line, each in the ink.
    pub fn block(&self, ink: Ink, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| say(self.ink(ink, line)))
    }

    pub fn chapter(&self, title: &str) -> io::Result<()> {
        say(format!(
            "\n{}",
            self.ink(Ink::Bold, format!("━━ {title} {}", "━".repeat(WIDTH - 4 - title.chars().count())))
        ))
    }

    pub fn step(&self, number: usize, of: usize, what: &str) -> io::Result<()> {
        let counter = format!("[{number:>2}/{of}] ");
        let text = wrapped(what, WIDTH, &" ".repeat(counter.len()));
        say(format!("\n{}{}", self.ink(Ink::Good, &counter), self.ink(Ink::Bold, text.trim_start())))
    }

    /// A remark on what is to be seen.
    pub fn note(&self, text: &str) -> io::Result<()> {
        say(wrapped(text, WIDTH, "# ")
            .lines()
            .map(|line| self.ink(Ink::Faint, line))
            .collect::<Vec<_>>()
            .join("\n"))
    }

    /// Lines in a frame.
    pub fn frame(&self, lines: &[String]) -> io::Result<()> {
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
        say(format!("╭{}╮", "─".repeat(width + 2)))?;
        for line in lines {
            say(format!("│ {line}{} │", " ".repeat(width - line.chars().count())))?;
        }
        say(format!("╰{}╯", "─".repeat(width + 2)))
    }
}

/// Prose in lines of the width, each behind the prefix.
fn wrapped(text: &str, width: usize, prefix: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is a line from the start");
        let room = width.saturating_sub(prefix.chars().count() + last.chars().count() + 1);
        match last.is_empty() {
            true => last.push_str(word),
            false if word.chars().count() <= room => {
                last.push(' ');
                last.push_str(word);
            }
            false => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| format!("{prefix}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_set_between_words_and_loses_none() {
        let text = "one two three four five six seven";
        let set = wrapped(text, 14, "# ");
        assert!(set.lines().all(|line| line.starts_with("# ") && line.chars().count() <= 14), "{set}");
        assert_eq!(set.replace("# ", "").replace('\n', " "), text);
    }
}
