//! JSON as people read it: short things on one line, what does not matter left out.

use serde_json::Value;

/// What fits within so many columns stays on one line.
const WIDTH: usize = 96;
/// Longer texts are cut in answers.
const LONGEST: usize = 72;
/// Of longer lists only the beginning is shown in answers.
const ITEMS: usize = 12;

/// The whole, so that it can be sent again.
pub fn whole(value: &Value) -> String {
    Shape::of(value, None).render(0)
}

/// The members that `keep` names, as `status` or `items.status`, in its order, and `…` where others were; all of
/// them if it names none.
pub fn essence(value: &Value, keep: &[&str]) -> String {
    Shape::of(value, Some(keep)).render(0)
}

/// By what people know a thing; these members come first.
const FIRST: [&str; 11] =
    ["title", "method", "path", "action", "type", "key", "code", "name", "reason_code", "plan", "protocol"];

/// A value on its way to paper; `more` says that something was left out.
enum Shape {
    Leaf(String),
    List { items: Vec<Shape>, more: bool },
    Object { members: Vec<(String, Shape)>, more: bool },
}

impl Shape {
    /// `keep` is none where nothing is to be left out or cut.
    fn of(value: &Value, keep: Option<&[&str]>) -> Self {
        match value {
            Value::Object(object) => match keep {
                Some(keep) if !keep.is_empty() => Self::chosen(value, keep),
                keep => {
                    let rank =
                        |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
                    let member = |(name, value): (&String, &Value)| (name.clone(), Self::of(value, keep));
                    let mut members: Vec<_> = object.iter().map(member).collect();
                    members.sort_by_key(|(name, _)| rank(name));
                    Self::Object { members, more: false }
                }
            },
            Value::Array(items) => {
                let most = if keep.is_some() { ITEMS } else { usize::MAX };
                Self::List {
                    items: items.iter().take(most).map(|item| Self::of(item, keep)).collect(),
                    more: items.len() > most,
                }
            }
            Value::String(text) if keep.is_some() => {
                Self::Leaf(Value::from(shortened(text, LONGEST)).to_string())
            }
            leaf => Self::Leaf(leaf.to_string()),
        }
    }

    fn chosen<'a>(value: &Value, keep: &[&'a str]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for path in keep {
            let name = path.split('.').next().unwrap_or_default();
            if !names.contains(&name) && value.get(name).is_some() {
                names.push(name);
            }
        }
        let below = |name: &str| -> Vec<&'a str> {
            let inner = |path: &&'a str| {
                path.split_once('.').filter(|(first, _)| *first == name).map(|(_, rest)| rest)
            };
            keep.iter().filter_map(inner).collect()
        };
        let members: Vec<_> = names
            .iter()
            .map(|name| ((*name).to_owned(), Self::of(&value[*name], Some(&below(name)))))
            .collect();
        let more = value.as_object().is_some_and(|object| object.len() > members.len());
        Self::Object { members, more }
    }

    fn line(&self) -> String {
        let joined = |mut parts: Vec<String>, more: bool| {
            if more {
                parts.push("…".to_owned());
            }
            parts.join(", ")
        };
        match self {
            Self::Leaf(text) => text.clone(),
            Self::List { items, more } => {
                format!("[{}]", joined(items.iter().map(Self::line).collect(), *more))
            }
            Self::Object { members, more } => {
                let member = |(name, value): &(String, Shape)| {
                    format!("{}: {}", Value::from(name.as_str()), value.line())
                };
                format!("{{{}}}", joined(members.iter().map(member).collect(), *more))
            }
        }
    }

    fn render(&self, indent: usize) -> String {
        let line = self.line();
        if indent + line.chars().count() <= WIDTH && (indent > 0 || matches!(self, Self::Leaf(_))) {
            return line;
        }
        let (open, close, mut lines, more) = match self {
            Self::Leaf(_) => return line,
            Self::List { items, more } => {
                ('[', ']', items.iter().map(|item| item.render(indent + 2)).collect::<Vec<_>>(), *more)
            }
            Self::Object { members, more } => {
                let member = |(name, value): &(String, Shape)| {
                    format!("{}: {}", Value::from(name.as_str()), value.render(indent + 2))
                };
                ('{', '}', members.iter().map(member).collect(), *more)
            }
        };
        if lines.is_empty() {
            return line;
        }
        if more {
            lines.push("…".to_owned());
        }
        let pad = " ".repeat(indent);
        let inner = format!(",\n{pad}  ");
        format!("{open}\n{pad}  {}\n{pad}{close}", lines.join(&inner))
    }
}

/// The beginning of a text that is too long.
pub fn shortened(text: &str, longest: usize) -> String {
    match text.chars().count() > longest {
        true => text.chars().take(longest - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sent_is_shown_whole_and_reads_back() {
        let value =
            json!({"text": "x".repeat(200), "list": (0..40).collect::<Vec<_>>(), "empty": {}, "none": null});
        assert_eq!(serde_json::from_str::<Value>(&whole(&value)).unwrap(), value);
    }

    #[test]
    fn what_came_back_is_shown_in_the_order_asked_for_with_dots_for_the_rest() {
        let value = json!({"id": "ord_1", "items": [{"status": "done", "plan": "p"}], "status": "completed"});
        let shown = essence(&value, &["status", "items.status", "absent"]);
        assert_eq!(
            shown,
            "{\n  \"status\": \"completed\",\n  \"items\": [{\"status\": \"done\", …}],\n  …\n}"
        );
        assert_eq!(essence(&json!({"a": "x".repeat(80)}), &[]).chars().filter(|c| *c == 'x').count(), 71);
    }
}
