use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{FaultKind, JsonFault, Limits};
use crate::model::text;

/// The value that the body holds, read strictly within the usual limits: whole numbers are integers, however they
/// are written, and texts are in normal form C.
pub fn parse(body: &[u8]) -> Result<Value, JsonFault> {
    parse_within(body, &Limits::default())
}

/// The same within other limits.
pub fn parse_within(body: &[u8], limits: &Limits) -> Result<Value, JsonFault> {
    let fault = |kind, offset| JsonFault { kind, pointer: String::new(), offset };
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(fault(FaultKind::ByteOrderMark, 0));
    }
    let text = std::str::from_utf8(body).map_err(|error| fault(FaultKind::Encoding, error.valid_up_to()))?;
    let mut reading = Reading { limits, kind: None, path: Vec::new() };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Place { reading: &mut reading, depth: 0 }.deserialize(&mut json);
    read.and_then(|value| json.end().map(|()| value)).map_err(|error| JsonFault {
        kind: reading.kind.unwrap_or_else(|| kind_of(&error)),
        pointer: reading.pointer(),
        offset: offset_of(&error, text),
    })
}

/// The library has one category for all faults of syntax; only its words tell these two from the others.
fn kind_of(error: &serde_json::Error) -> FaultKind {
    let words = error.to_string();
    if words.starts_with("number out of range") {
        FaultKind::OutOfRange
    } else if words.starts_with("lone leading surrogate") || words.starts_with("unexpected end of hex escape")
    {
        FaultKind::UnfitText
    } else {
        FaultKind::Syntax
    }
}

fn offset_of(error: &serde_json::Error, text: &str) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (before + error.column()).min(text.len())
}

/// What is known while reading; of the path only what lies behind a fault, from the inside out.
struct Reading<'a> {
    limits: &'a Limits,
    kind: Option<FaultKind>,
    path: Vec<String>,
}

impl Reading<'_> {
    fn refuse<E: Error>(&mut self, kind: FaultKind) -> E {
        self.kind = Some(kind);
        E::custom("")
    }

    fn refuse_at<E: Error>(&mut self, kind: FaultKind, step: &str) -> E {
        self.path.push(step.to_owned());
        self.refuse(kind)
    }

    fn pointer(&self) -> String {
        let steps = self.path.iter().rev().map(|step| text::pointer_step(step));
        steps.fold(String::new(), |pointer, step| pointer + "/" + &step)
    }

    /// The text as it is kept.
    fn fit<E: Error>(&mut self, given: &str) -> Result<String, E> {
        let plain = given.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
        if !plain && !text::is_fit(given) {
            return Err(self.refuse(FaultKind::UnfitText));
        }
        let kept = if plain { given.to_owned() } else { text::nfc(given.to_owned()) };
        if kept.len() > self.limits.characters && kept.chars().count() > self.limits.characters {
            return Err(self.refuse(FaultKind::TooLong));
        }
        Ok(kept)
    }
}

/// A place where a value is expected.
struct Place<'r, 'l> {
    reading: &'r mut Reading<'l>,
    depth: usize,
}

impl<'r, 'l> Place<'r, 'l> {
    fn inside(&mut self) -> Place<'_, 'l> {
        Place { reading: &mut *self.reading, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        // From 2^53 on, floats no longer tell one integer from the next, nor whether there was a fraction.
        if number.abs() >= 9_007_199_254_740_992.0 {
            return Err(self.reading.refuse(FaultKind::OutOfRange));
        }
        if number.fract() == 0.0 {
            return Ok(Value::Number((number as i64).into()));
        }
        Number::from_f64(number).map(Value::Number).ok_or_else(|| self.reading.refuse(FaultKind::OutOfRange))
    }

    fn visit_str<E: Error>(self, given: &str) -> Result<Value, E> {
        self.reading.fit(given).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut given: A) -> Result<Value, A::Error> {
        if self.depth == self.reading.limits.depth {
            return Err(self.reading.refuse(FaultKind::TooDeep));
        }
        let mut items = Vec::new();
        loop {
            match given.next_element_seed(self.inside()) {
                Ok(None) => return Ok(Value::Array(items)),
                Ok(Some(_)) if items.len() == self.reading.limits.items => {
                    return Err(self.reading.refuse(FaultKind::TooManyItems));
                }
                Ok(Some(item)) => items.push(item),
                Err(error) => {
                    self.reading.path.push(items.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut given: A) -> Result<Value, A::Error> {
        if self.depth == self.reading.limits.depth {
            return Err(self.reading.refuse(FaultKind::TooDeep));
        }
        let mut members = Map::new();
        while let Some(name) = given.next_key_seed(Name(&mut *self.reading))? {
            if members.len() == self.reading.limits.members {
                return Err(self.reading.refuse(FaultKind::TooManyMembers));
            }
            let place = match members.entry(name) {
                serde_json::map::Entry::Vacant(place) => place,
                serde_json::map::Entry::Occupied(taken) => {
                    return Err(self.reading.refuse_at(FaultKind::Duplicate, taken.key()));
                }
            };
            match given.next_value_seed(self.inside()) {
                Ok(member) => place.insert(member),
                Err(error) => {
                    self.reading.path.push(place.key().clone());
                    return Err(error);
                }
            };
        }
        Ok(Value::Object(members))
    }
}

/// The place of a member's name.
struct Name<'r, 'l>(&'r mut Reading<'l>);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name<'_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, given: &str) -> Result<String, E> {
        self.0.fit(given)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::FaultKind::*;
    use super::*;

    fn fault(body: impl AsRef<[u8]>) -> (FaultKind, String) {
        let fault = parse(body.as_ref()).unwrap_err();
        (fault.kind, fault.pointer)
    }

    #[test]
    fn a_body_reads_as_what_it_says() {
        let body = br#" {"a": [1, -2, 0.5, true, null], "b": {"c": "x\ny", "": "\ud83d\ude00"}} "#;
        let value = json!({"a": [1, -2, 0.5, true, null], "b": {"c": "x\ny", "": "\u{1f600}"}});
        assert_eq!(parse(body), Ok(value));
    }

    #[test]
    fn what_is_not_json_is_refused_and_the_place_is_told() {
        for body in [
            "",
            " ",
            "{",
            "{\"a\":1,}",
            "[1 2]",
            "nul",
            "NaN",
            "[Infinity]",
            "{a:1}",
            "'a'",
            "01",
            "1 2",
            "{}x",
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().kind, Syntax, "{body}");
        }
        assert_eq!(fault(r#"{"a":[0,{"b":tru}]}"#), (Syntax, "/a/1/b".into()));
        assert_eq!(fault("\"a\u{1}b\""), (Syntax, "".into()));
        assert_eq!(fault(b"\"\xff\""), (Encoding, "".into()));
        assert_eq!(fault(b"{\"a\xc3\":1}"), (Encoding, "".into()));
        // A surrogate, encoded as if it were a character.
        assert_eq!(fault(b"\"\xed\xa0\x80\""), (Encoding, "".into()));
        assert_eq!(fault(b"\xef\xbb\xbf{}"), (ByteOrderMark, "".into()));
        assert_eq!(parse(b"{\n\"a\": 1,\n\"b\": ?}").unwrap_err().offset, 16);
    }

    #[test]
    fn a_member_that_is_there_twice_is_pointed_at() {
        assert_eq!(fault(r#"{"a":1,"a":1}"#), (Duplicate, "/a".into()));
        assert_eq!(fault(r#"{"m":[{},{"x/y~z":1,"x\/y~z":2}]}"#), (Duplicate, "/m/1/x~1y~0z".into()));
        // Once composed, once not: they are one name when they are kept.
        assert_eq!(fault("{\"\u{e9}\":1,\"e\u{301}\":2}"), (Duplicate, "/\u{e9}".into()));
        assert!(parse(br#"[{"a":1},{"a":1,"b":{"a":1}}]"#).is_ok());
    }

    #[test]
    fn a_body_lies_in_itself_32_levels_deep_and_no_deeper() {
        let nested = |depth| [vec!['['; depth], vec![']'; depth]].concat().into_iter().collect::<String>();
        assert!(parse(nested(32).as_bytes()).is_ok());
        assert_eq!(fault(nested(33)), (TooDeep, "/0".repeat(32)));
        assert_eq!(fault("{\"a\":".repeat(33) + "1" + &"}".repeat(33)), (TooDeep, "/a".repeat(32)));
        assert_eq!(fault("[".repeat(1_000_000)).0, TooDeep);
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        for (written, number) in
            [("24473.0", 24473), ("2.4473e4", 24473), ("-0", 0), ("-0.0", 0), ("1E2", 100)]
        {
            assert_eq!(parse(written.as_bytes()), Ok(json!(number)), "{written}");
        }
        assert_eq!(parse(b"18446744073709551615"), Ok(json!(u64::MAX)));
        assert_eq!(parse(b"-9223372036854775808"), Ok(json!(i64::MIN)));
        assert_eq!(parse(b"9007199254740991.0"), Ok(json!(9_007_199_254_740_991_i64)));
        assert_eq!(parse(b"0.25"), Ok(json!(0.25)));
    }

    #[test]
    fn numbers_that_would_lose_digits_are_refused() {
        for written in [
            "18446744073709551616",
            "-9223372036854775809",
            "1e400",
            "-1e400",
            "1e309",
            "1e19",
            "9007199254740993.0",
            &"9".repeat(400),
        ] {
            assert_eq!(fault(format!("{{\"n\":{written}}}")), (OutOfRange, "/n".into()), "{written}");
        }
    }

    #[test]
    fn texts_and_names_that_cannot_be_kept_are_refused() {
        for unfit in
            [r"\u0000", r"\u001b", r"\r", r"\u0085", "\u{202e}", r"\u2066", r"\ud800", r"\udc00", r"\ud800\n"]
        {
            assert_eq!(fault(format!("{{\"a\":[\"x{unfit}\"]}}")), (UnfitText, "/a/0".into()), "{unfit}");
            assert_eq!(fault(format!("{{\"a\":{{\"x{unfit}\":1}}}}")), (UnfitText, "/a".into()), "{unfit}");
        }
        assert_eq!(parse(r#""a\tb\nc""#.as_bytes()), Ok(json!("a\tb\nc")));
    }

    #[test]
    fn texts_are_kept_in_normal_form_c() {
        assert_eq!(parse("{\"u\u{308}\":\"u\u{308}\"}".as_bytes()), Ok(json!({"\u{fc}": "\u{fc}"})));
    }

    #[test]
    fn what_is_too_large_is_refused_where_it_is() {
        let array = |items: usize| format!("{{\"a\":[{}]}}", vec!["1"; items].join(","));
        assert!(parse(array(1_000).as_bytes()).is_ok());
        assert_eq!(fault(array(1_001)), (TooManyItems, "/a".into()));
        let object = |members: usize| {
            let members: Vec<_> = (0..members).map(|name| format!("\"{name}\":1")).collect();
            format!("[{{{}}}]", members.join(","))
        };
        assert!(parse(object(200).as_bytes()).is_ok());
        assert_eq!(fault(object(201)), (TooManyMembers, "/0".into()));
        let text = |characters: usize| format!("{{\"a\":\"{}\"}}", "\u{e4}".repeat(characters));
        assert!(parse(text(4_096).as_bytes()).is_ok());
        assert_eq!(fault(text(4_097)), (TooLong, "/a".into()));
        let wide = Limits { characters: 5_000, ..Limits::default() };
        assert!(parse_within(text(5_000).as_bytes(), &wide).is_ok());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_filter_map("a fraction", |float: f64| (float.fract() != 0.0)
                .then(|| Value::from(float))),
            "[ -~äöü€😀]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map("[a-zä/~]{0,6}", inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_reads_back_as_itself(value in any_value()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value.clone()));
            prop_assert_eq!(parse(crate::model::canonical(&value).as_bytes()), Ok(value));
        }

        #[test]
        fn what_we_read_the_library_reads_as_well(body in "[\\[\\]{}\",:0-9.eE+\\-a-c \\\\u]{0,24}") {
            if let Ok(value) = parse(body.as_bytes()) {
                let lax: Value = serde_json::from_str(&body).unwrap();
                prop_assert_eq!(crate::model::canonical(&value), crate::model::canonical(&lax));
            }
        }

        #[test]
        fn no_bytes_make_the_reader_stumble(body in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Err(fault) = parse(&body) {
                prop_assert!(fault.offset <= body.len());
            }
        }
    }
}
