//! What part of the tree a caller may reach.

use std::sync::Arc;

use super::Path;
use super::accounts::delegation::Guard;

/// The part of the tree that a connection may see and change. It is made from an authenticated caller's
/// account, or, by the program's own workers, for everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subtree {
    /// All of it, or what it is cut out of.
    span: Span,
    narrowed: Option<Arc<Narrowed>>,
    guard: Option<Guard>,
}

/// Paths that follow each other in byte order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    from: String,
    to: String,
}

/// Some accounts, each with all below.
#[derive(PartialEq, Eq, Debug)]
struct Narrowed {
    spans: Vec<Span>,
    declared: String,
}

impl Span {
    fn starting(from: &str) -> Self {
        Self { from: from.to_owned(), to: end(from) }
    }

    /// One without any path.
    fn empty() -> Self {
        Self { from: "/".to_owned(), to: "/".to_owned() }
    }

    /// The first path inside, in byte order.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The first path no longer inside.
    pub fn to(&self) -> &str {
        &self.to
    }

    fn covers(&self, path: &Path) -> bool {
        self.from.as_str() <= path.as_str() && path.as_str() < self.to.as_str()
    }
}

/// The first path behind all that begin so: `0` follows `/` in byte order.
fn end(from: &str) -> String {
    format!("{}0", &from[..from.len() - 1])
}

impl Subtree {
    /// The account at `path` and all below it.
    pub fn of(path: &Path) -> Self {
        Self::starting(path.as_str())
    }

    /// Every account: for the program's own work (authentication, provisioning, delivery), never for a caller.
    pub fn everything() -> Self {
        Self::starting("/")
    }

    fn starting(from: &str) -> Self {
        Self { span: Span::starting(from), narrowed: None, guard: None }
    }

    /// The accounts at `roots` and all below them, reached by a key of the account at `owner`: nothing else of
    /// that account's, but that what the key did and was answered is written down under it.
    pub fn narrowed<'a>(roots: impl IntoIterator<Item = &'a Path>, owner: &Path) -> Self {
        let mut roots: Vec<&Path> = roots.into_iter().collect();
        roots.sort_unstable();
        // One below another is in it already; in byte order it comes right behind.
        roots.dedup_by(|below, above| above.covers(below));
        let mut spans: Vec<_> = roots.iter().map(|root| Span::starting(root.as_str())).collect();
        // With the `.` behind it a path is nobody's beginning but its own.
        let declared = roots.iter().map(|root| format!("{root},")).collect::<String>() + owner.as_str() + ".";
        if spans.is_empty() {
            spans.push(Span::empty());
        }
        let span = Span { from: spans[0].from.clone(), to: spans[spans.len() - 1].to.clone() };
        Self { span, narrowed: Some(Arc::new(Narrowed { spans, declared })), guard: None }
    }

    /// The same, where what accounts below say of those above them is heeded.
    pub fn guarded(self, guard: Option<Guard>) -> Self {
        Self { guard, ..self }
    }

    /// The first path inside, in byte order.
    pub fn from(&self) -> &str {
        self.span.from()
    }

    /// The first path no longer inside.
    pub fn to(&self) -> &str {
        self.span.to()
    }

    /// Its parts in the order of their paths; most often there is one.
    pub fn spans(&self) -> &[Span] {
        match &self.narrowed {
            None => std::slice::from_ref(&self.span),
            Some(narrowed) => &narrowed.spans,
        }
    }

    /// The parts of which a list may show rows: without the accounts that refuse whoever asks.
    pub fn listed(&self) -> Vec<Span> {
        let Some(guard) = &self.guard else { return self.spans().to_vec() };
        let mut open = Vec::new();
        for span in self.spans() {
            let mut from = span.from.clone();
            for wall in guard.walls_between(&span.from, &span.to) {
                if wall < from.as_str() {
                    continue;
                }
                if from != wall {
                    open.push(Span { from, to: wall.to_owned() });
                }
                from = end(wall);
            }
            if from < span.to {
                open.push(Span { from, to: span.to.clone() });
            }
        }
        if open.is_empty() {
            open.push(Span::empty());
        }
        open
    }

    /// Whether lists show all of it, and it is in one part.
    pub fn is_whole(&self) -> bool {
        self.narrowed.is_none() && self.guard.is_none()
    }

    /// Whether it is cut down to some accounts.
    pub fn is_narrowed(&self) -> bool {
        self.narrowed.is_some()
    }

    /// As row-level security is told of it: the beginnings of paths, with commas between them.
    pub fn declared(&self) -> &str {
        match &self.narrowed {
            None => &self.span.from,
            Some(narrowed) => &narrowed.declared,
        }
    }

    pub fn covers(&self, path: &Path) -> bool {
        self.spans().iter().any(|span| span.covers(path))
    }

    /// Whether the account at `path`, or one above it, refuses whoever asks.
    pub fn is_refused(&self, path: &Path) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.refuses(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::accounts::delegation::{Allow, Rule, Walls};
    use crate::model::ids::AccountId;

    /// KEY-4
    #[test]
    fn a_narrowed_subtree_is_its_roots_in_order_and_nothing_between_them() {
        let root = Path::root(AccountId::new());
        let mut below: Vec<Path> = (0..4).map(|_| root.child(AccountId::new())).collect();
        below.sort();
        let leaf = below[2].child(AccountId::new());
        let subtree = Subtree::narrowed([&leaf, &below[2], &below[0]], &root);
        let spans: Vec<_> = subtree.spans().iter().map(Span::from).collect();
        assert_eq!(spans, [below[0].as_str(), below[2].as_str()]);
        let seen = |path: &Path| subtree.covers(path);
        assert!(seen(&below[0]) && seen(&below[2]) && seen(&leaf));
        assert!(!seen(&root) && !seen(&below[1]) && !seen(&below[3]));
        assert_eq!(subtree.declared(), format!("{},{},{root}.", below[0], below[2]));
        let nothing = Subtree::narrowed([], &root);
        assert!(!nothing.covers(&root) && !nothing.covers(&leaf) && nothing.spans().len() == 1);
    }

    /// AUTHZ-6
    #[test]
    fn a_list_leaves_out_the_accounts_that_refuse_whoever_asks() {
        let root = Path::root(AccountId::new());
        let mut below: Vec<Path> = (0..3).map(|_| root.child(AccountId::new())).collect();
        below.sort();
        let inner = below[1].child(AccountId::new());
        let walls = Arc::new(Walls::new([(below[1].clone(), Allow::None), (inner.clone(), Allow::None)]));
        let guarded = |walls: &Arc<Walls>, rule| {
            Subtree::of(&root).guarded(Guard::over(&root, Rule::Walls { writes: rule }, walls.clone()))
        };
        let listed = guarded(&walls, false).listed();
        let shown = |path: &Path| listed.iter().any(|span| span.covers(path));
        assert!(shown(&root) && shown(&below[0]) && shown(&below[2]));
        assert!(!shown(&below[1]) && !shown(&inner));
        assert_eq!(listed.len(), 2);
        let all = Arc::new(Walls::new(below.iter().map(|path| (path.clone(), Allow::None))));
        let listed = guarded(&all, false).listed();
        let shown = |path: &Path| listed.iter().any(|span| span.covers(path));
        assert!(shown(&root) && !below.iter().any(shown));
    }
}
