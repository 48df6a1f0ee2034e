//! Records in RFC 1035's text: what customers give is taken apart and written anew, so that nothing in it
//! can be read as more than the one record.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::connector::Fault;
use crate::model::services::specs::{Record, RecordType, ZoneSpec};

/// The longest piece of text a TXT record holds; longer ones are several pieces.
const TXT_PIECE: usize = 255;

/// The zone's records as lines, fully qualified, each once.
pub(super) fn records(spec: &ZoneSpec) -> Result<Vec<String>, Fault> {
    let mut aliases = Vec::new();
    let mut others = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for record in &spec.records {
        let name = qualified(&record.name, &spec.name)?;
        let data = data(record, &spec.name)?;
        let line = format!("{name} {} IN {} {data}", record.ttl, record.record_type);
        if lines.contains(&line) {
            continue;
        }
        match record.record_type {
            RecordType::Cname => aliases.push(name),
            _ => others.push(name),
        }
        lines.push(line);
    }
    others.push(format!("{}.", spec.name));
    while let Some(alias) = aliases.pop() {
        if others.contains(&alias) || aliases.contains(&alias) {
            return Err(Fault::Invalid(format!("{alias} has a CNAME and can have no other record")));
        }
    }
    Ok(lines)
}

/// A name as it stands in a zone file, made absolute and lower case: a final dot ends it, all others are
/// below the zone.
pub(super) fn qualified(name: &str, zone: &str) -> Result<String, Fault> {
    let absolute = match name.strip_suffix('.') {
        _ if name == "@" => zone.to_owned(),
        _ if name == "." => return Ok(".".into()),
        Some(absolute) => absolute.to_owned(),
        None => format!("{name}.{zone}"),
    }
    .to_ascii_lowercase();
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let label = |(at, label): (usize, &str)| {
        (1..=63).contains(&label.len()) && (label.bytes().all(inner) || at == 0 && label == "*")
    };
    let fits = absolute.len() <= 253 && absolute.split('.').enumerate().all(label);
    fits.then(|| format!("{absolute}.")).ok_or_else(|| Fault::Invalid(format!("{name:?} is no host name")))
}

fn data(record: &Record, zone: &str) -> Result<String, Fault> {
    let wrong = || {
        let (kind, name, data) = (record.record_type, &record.name, &record.data);
        Fault::Invalid(format!("{data:?} is no data of the {kind} record {name:?}"))
    };
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    let host = |text: &str| qualified(text, zone).map_err(|_| wrong());
    let parts: Vec<&str> = record.data.split_ascii_whitespace().collect();
    match (record.record_type, &parts[..]) {
        (RecordType::Txt, _) => text(&record.data).ok_or_else(wrong),
        (RecordType::A, [address]) => {
            address.parse::<Ipv4Addr>().map(|address| address.to_string()).map_err(|_| wrong())
        }
        (RecordType::Aaaa, [address]) => {
            address.parse::<Ipv6Addr>().map(|address| address.to_string()).map_err(|_| wrong())
        }
        (RecordType::Cname, [target]) => host(target),
        (RecordType::Mx, [preference, target]) => Ok(format!("{} {}", number(preference)?, host(target)?)),
        (RecordType::Srv, [priority, weight, port, target]) => {
            Ok(format!("{} {} {} {}", number(priority)?, number(weight)?, number(port)?, host(target)?))
        }
        (RecordType::Caa, [flags, tag, ..]) => {
            let flags: u8 = flags.parse().map_err(|_| wrong())?;
            let known = (1..=15).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let value = record.data.splitn(3, char::is_whitespace).nth(2).unwrap_or_default().trim();
            let bare = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value);
            let fits = known && bare.len() <= TXT_PIECE && !value.is_empty();
            let quoted = fits.then(|| quoted(bare.as_bytes())).flatten();
            Ok(format!("{flags} {} {}", tag.to_ascii_lowercase(), quoted.ok_or_else(wrong)?))
        }
        _ => Err(wrong()),
    }
}

fn text(text: &str) -> Option<String> {
    let pieces: Option<Vec<_>> = text.as_bytes().chunks(TXT_PIECE).map(quoted).collect();
    pieces.map(|pieces| pieces.join(" ")).filter(|text| !text.is_empty())
}

fn quoted(bytes: &[u8]) -> Option<String> {
    let mut text = String::from('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => return None,
        }
    }
    text.push('"');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record_type: RecordType, data: &str) -> Result<String, Fault> {
        let record = Record { name: "x".into(), record_type, data: data.into(), ttl: 300 };
        let zone = ZoneSpec { name: "acme.example".into(), records: vec![record] };
        records(&zone).map(|lines| lines.join("\n"))
    }

    #[test]
    fn names_without_a_final_dot_are_below_the_zone() {
        let mx = |data| line(RecordType::Mx, data).unwrap();
        assert_eq!(mx("10 mx.other.example."), "x.acme.example. 300 IN MX 10 mx.other.example.");
        assert_eq!(mx("10 mx"), "x.acme.example. 300 IN MX 10 mx.acme.example.");
        assert_eq!(mx("10 @"), "x.acme.example. 300 IN MX 10 acme.example.");
    }

    #[test]
    fn texts_are_quoted_and_cut_into_pieces_of_255() {
        assert_eq!(
            line(RecordType::Txt, r#"say "hi" \ ; done"#).unwrap(),
            r#"x.acme.example. 300 IN TXT "say \"hi\" \\ ; done""#
        );
        let long = line(RecordType::Txt, &"k".repeat(300)).unwrap();
        assert!(long.ends_with(&format!("\"{}\" \"{}\"", "k".repeat(255), "k".repeat(45))));
    }

    #[test]
    fn data_that_would_be_more_than_one_record_are_refused() {
        for (record_type, data) in [
            (RecordType::A, "192.0.2.1\nevil 300 IN A 192.0.2.2"),
            (RecordType::A, "192.0.2.1 ; x"),
            (RecordType::Aaaa, "192.0.2.1"),
            (RecordType::Cname, "a b"),
            (RecordType::Cname, "$INCLUDE"),
            (RecordType::Mx, "mx.acme.example."),
            (RecordType::Mx, "70000 mx"),
            (RecordType::Txt, "a\nb"),
            (RecordType::Srv, "0 0 443"),
            (RecordType::Caa, "0 issue"),
        ] {
            let refused = line(record_type, data);
            assert!(matches!(refused, Err(Fault::Invalid(_))), "{record_type} {data:?}: {refused:?}");
        }
    }

    #[test]
    fn an_alias_stands_alone() {
        let record = |name: &str, record_type, data: &str| Record {
            name: name.into(),
            record_type,
            data: data.into(),
            ttl: 300,
        };
        let alias = |name| record(name, RecordType::Cname, "web.hosting.example.");
        let zone = |records| ZoneSpec { name: "acme.example".into(), records };
        assert!(records(&zone(vec![alias("www"), alias("www")])).is_ok(), "the same record twice is one");
        assert!(records(&zone(vec![alias("@")])).is_err());
        assert!(records(&zone(vec![alias("www"), record("WWW", RecordType::A, "192.0.2.1")])).is_err());
    }
}
