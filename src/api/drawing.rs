//! A topology as a picture (SVG 1.1): what belongs to something stands to the right of it, and servers at the right edge.

use std::collections::HashMap;
use std::fmt::Write;

use crate::model::accounts::topology::{Node, NodeType, Topology};

/// In pixels.
const BOX: (i32, i32) = (210, 40);
const GAP: (i32, i32) = (56, 12);
const MARGIN: i32 = 16;
/// How many letters of a name fit into a box.
const LETTERS: usize = 24;

/// Where nodes stand, by their identifiers: their upper left corners.
struct Places<'t> {
    nodes: &'t [Node],
    children: HashMap<&'t str, Vec<&'t Node>>,
    at: HashMap<&'t str, (i32, i32)>,
    /// Where the next one is to stand that nothing belongs to.
    next: i32,
    columns: i32,
}

impl<'t> Places<'t> {
    fn of(topology: &'t Topology) -> Self {
        let mut children: HashMap<&str, Vec<&Node>> = HashMap::new();
        for node in &topology.nodes {
            if let Some(parent) = &node.parent_id {
                children.entry(parent).or_default().push(node);
            }
        }
        let nodes = topology.nodes.as_slice();
        let mut places = Self { nodes, children, at: HashMap::new(), next: MARGIN, columns: 0 };
        let tops = nodes.iter().filter(|node| node.parent_id.is_none() && node.node_type != NodeType::Server);
        for top in tops {
            places.put(top, 0);
        }
        places.put_servers();
        places
    }

    /// Puts a node in the middle of what belongs to it, and says at what height.
    fn put(&mut self, node: &'t Node, column: i32) -> i32 {
        self.columns = self.columns.max(column + 1);
        let children = self.children.get(node.id.as_str()).cloned().unwrap_or_default();
        let heights: Vec<_> = children.into_iter().map(|child| self.put(child, column + 1)).collect();
        let y = match (heights.first(), heights.last()) {
            (Some(first), Some(last)) => i32::midpoint(*first, *last),
            _ => {
                let y = self.next;
                self.next += BOX.1 + GAP.1;
                y
            }
        };
        self.at.insert(&node.id, (MARGIN + column * (BOX.0 + GAP.0), y));
        y
    }

    /// Puts servers below each other at the right edge, each as near as may be to the first service that runs on it.
    fn put_servers(&mut self) {
        let first = |server: &Node| {
            let runs = |node: &&Node| node.server_id.is_some_and(|id| id.to_string() == server.id);
            self.nodes.iter().find(runs).and_then(|node| self.at.get(node.id.as_str())).map_or(0, |(_, y)| *y)
        };
        let servers = self.nodes.iter().filter(|node| node.node_type == NodeType::Server);
        let mut servers: Vec<_> = servers.map(|server| (first(server), server)).collect();
        servers.sort_by_key(|(y, _)| *y);
        let mut free = MARGIN;
        for (y, server) in servers {
            let y = y.max(free);
            self.at.insert(&server.id, (MARGIN + self.columns * (BOX.0 + GAP.0), y));
            free = y + BOX.1 + GAP.1;
        }
    }

    fn size(&self) -> (i32, i32) {
        let right = self.at.values().map(|(x, _)| x + BOX.0).max().unwrap_or(0);
        let bottom = self.at.values().map(|(_, y)| y + BOX.1).max().unwrap_or(0);
        (right + MARGIN, bottom + MARGIN)
    }

    /// A line from what is on the left to what is on the right.
    fn line(&self, from: &str, to: &str, look: &str) -> Option<String> {
        let ((x, y), (to_x, to_y)) = (self.at.get(from)?, self.at.get(to)?);
        let (x, y, to_y) = (x + BOX.0, y + BOX.1 / 2, to_y + BOX.1 / 2);
        let middle = i32::midpoint(x, *to_x);
        Some(format!(r##"<path d="M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}" {look}/>"##))
    }
}

/// The picture.
pub fn of(topology: &Topology) -> String {
    let places = Places::of(topology);
    let (width, height) = places.size();
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif"><title>Topology</title><rect width="100%" height="100%" fill="#ffffff"/><g fill="none" stroke="#9aa4ae" stroke-width="1.5">"##
    );
    for node in &topology.nodes {
        let belongs = node.parent_id.as_ref().and_then(|parent| places.line(parent, &node.id, ""));
        let runs = node.server_id.map(|id| id.to_string());
        let runs = runs.and_then(|server| places.line(&node.id, &server, r#"stroke-dasharray="4 4""#));
        svg.extend(belongs.into_iter().chain(runs));
    }
    svg.push_str("</g>");
    for node in &topology.nodes {
        let Some(place) = places.at.get(node.id.as_str()) else { continue };
        draw(&mut svg, node, *place);
    }
    if topology.truncated {
        let _ = write!(
            svg,
            r##"<text x="{MARGIN}" y="{}" font-size="11" fill="#8a1c1c">There is more than is drawn.</text>"##,
            height - 4
        );
    }
    svg.push_str("</svg>");
    svg
}

fn draw(svg: &mut String, node: &Node, (x, y): (i32, i32)) {
    let colour = match node.status.as_str() {
        "active" | "trialing" => "#2e7d32",
        "suspended" | "failed" | "closed" | "cancelled" | "expired" => "#c62828",
        _ => "#b26a00",
    };
    let (width, height) = BOX;
    let (name, kind, status) = (escaped(&short(&node.name)), node.node_type, escaped(&node.status));
    let _ = write!(
        svg,
        r##"<g transform="translate({x} {y})"><title>{}</title><rect width="{width}" height="{height}" rx="4" fill="#f6f8fa" stroke="#c9d1d9"/><rect width="4" height="{height}" rx="2" fill="{colour}"/><text x="12" y="17" font-size="13" font-weight="600" fill="#1f2328">{name}</text><text x="12" y="32" font-size="11" fill="#57606a">{kind} · {status}</text></g>"##,
        escaped(&format!("{} ({})", node.name, node.id)),
    );
}

fn short(name: &str) -> String {
    match name.chars().count() > LETTERS {
        true => name.chars().take(LETTERS - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// A text as it stands in XML; what XML has no way to say is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in
        text.chars().filter(|letter| !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}'))
    {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
