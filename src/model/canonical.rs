//! JSON in the one form that things are compared and hashed in.

use serde_json::{Number, Value};

/// The value after RFC 8785, except that integers beyond 2^53 are written exactly.
pub fn canonical(value: &Value) -> String {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    String::from_utf8(out).expect("it was put together from UTF-8")
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(true) => out.extend(b"true"),
        Value::Bool(false) => out.extend(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push(b'{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_text(name, out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // The library escapes just what RFC 8785 wants escaped, in the same way.
    serde_json::to_writer(out, text).expect("a vector takes every text");
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    let text = number.to_string();
    if number.is_f64() {
        write_float(&text, out);
    } else {
        out.extend(text.as_bytes());
    }
}

/// The float as ECMAScript writes it. `text` has the shortest digits that read back as the same number, and of two
/// such the even ones, as ECMAScript wants them; `{:e}` of the standard library decides a tie the other way.
fn write_float(text: &str, out: &mut Vec<u8>) {
    let (sign, text) = text.split_at(usize::from(text.starts_with('-')));
    let (decimal, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let exponent: i32 = exponent.parse().expect("an exponent is a small number");
    let all = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    let digits = significant.trim_end_matches('0');
    let count = digits.len() as i32;
    if digits.is_empty() {
        return out.push(b'0');
    }
    out.extend(sign.as_bytes());
    // Where the point stands, counted from the first digit that is not 0.
    let point = whole.len() as i32 + exponent - (all.len() - significant.len()) as i32;
    match point {
        _ if count <= point && point <= 21 => {
            out.extend(digits.as_bytes());
            out.extend(std::iter::repeat_n(b'0', (point - count) as usize));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(point as usize);
            out.extend([whole.as_bytes(), b".", fraction.as_bytes()].concat());
        }
        -5..=0 => {
            out.extend(b"0.");
            out.extend(std::iter::repeat_n(b'0', -point as usize));
            out.extend(digits.as_bytes());
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            out.extend(first.as_bytes());
            if !rest.is_empty() {
                out.extend([b".", rest.as_bytes()].concat());
            }
            out.extend(format!("e{:+}", point - 1).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_written_as_the_rfc_lists_them() {
        // RFC 8785, appendix B.
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(canonical(&json!(f64::from_bits(bits))), text, "{bits:x}");
        }
    }

    #[test]
    fn members_are_sorted_by_utf_16_and_texts_escaped_as_the_rfc_shows() {
        // RFC 8785, section 3.2.3.
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        assert_eq!(
            canonical(&value),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
             \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
             \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
        // RFC 8785, section 3.2.2.2.
        let text = json!("\u{20ac}$\u{f}\nA'B\"\\\"/\u{7f}\u{8}\t\u{c}");
        assert_eq!(canonical(&text), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\"/\u{7f}\\b\\t\\f\"");
        assert_eq!(canonical(&json!([null, true, false, [], {}])), "[null,true,false,[],{}]");
    }

    #[test]
    fn integers_stay_exact() {
        assert_eq!(canonical(&json!([u64::MAX, i64::MIN])), "[18446744073709551615,-9223372036854775808]");
    }

    proptest! {
        #[test]
        fn a_float_is_written_so_that_it_reads_back_as_itself(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            prop_assert_eq!(canonical(&json!(float)).parse::<f64>().unwrap(), float);
        }
    }
}
