//! JSON as Python's `json.loads` reads it from bytes, and as Python prints what it has read.
//!
//! The receiver prints what a Flask receiver prints, and that is Python's own notation: `None`,
//! `'single quotes'`, `1e+16`. `serde_json` cannot stand in: it refuses `NaN`, lone surrogates and
//! UTF-16, rounds big integers and sorts keys, all of which Python does otherwise.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;

/// How deep lists and dicts may nest: as deep as in Flask 3.1 on Python 3.11, whose limit is 1000
/// calls, Flask's own included. Fits the stack of a thread, 2 MiB, twice.
const NESTING_LIMIT: usize = 974;

/// How many digits an integer may have: Python's `sys.int_info.default_max_str_digits`.
const INTEGER_DIGITS_LIMIT: usize = 4300;

/// What `json.loads` returns.
pub(crate) enum Value {
    None,
    Bool(bool),
    /// In its decimal digits, since Python's integers have no bounds.
    Int(String),
    Float(f64),
    Str(Text),
    List(Vec<Value>),
    Dict(Dict),
}

/// What `json.loads` raises.
pub(crate) enum LoadError {
    /// A `ValueError`: not text, or not JSON.
    Value,
    /// A `RecursionError`: nested deeper than the interpreter can follow.
    Recursion,
}

/// A `str`. Unlike Rust's, Python's may hold lone surrogates, so these are the bytes of UTF-8 with
/// surrogates encoded like any other code point.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Text(Vec<u8>);

/// A `dict`: keeps the order in which its keys first came, and the value that each key had last.
#[derive(Default)]
pub(crate) struct Dict(HashMap<Text, (usize, Value)>);

/// `json.loads(document)`
pub(crate) fn loads(document: &[u8]) -> Result<Value, LoadError> {
    let text = decode(document).ok_or(LoadError::Value)?;
    let mut reader = Reader { rest: &text };
    reader.skip_white_space();
    let value = reader.value(0)?;
    reader.skip_white_space();
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(LoadError::Value)
    }
}

impl Value {
    /// `self[key]`; nothing where Python raises an exception, whichever.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(Dict(entries)) => {
                let (_, value) = entries.get(&Text(key.as_bytes().to_vec()))?;
                Some(value)
            }
            _ => None,
        }
    }

    /// `str(self)`; nothing if it cannot be printed, since it has no encoding in UTF-8.
    pub(crate) fn str(&self) -> Option<String> {
        match self {
            Value::Str(Text(bytes)) => String::from_utf8(bytes.clone()).ok(),
            _ => Some(self.repr()),
        }
    }

    /// `repr(self)`
    pub(crate) fn repr(&self) -> String {
        let mut out = String::new();
        self.write_repr(&mut out);
        out
    }

    fn write_repr(&self, out: &mut String) {
        match self {
            Value::None => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Int(digits) => out.push_str(digits),
            Value::Float(number) => out.push_str(&float_repr(*number)),
            Value::Str(text) => text.write_repr(out),
            Value::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push_str(", ");
                    }
                    item.write_repr(out);
                }
                out.push(']');
            }
            Value::Dict(Dict(entries)) => {
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_unstable_by_key(|(_, (place, _))| *place);
                out.push('{');
                for (key, (place, value)) in entries {
                    if *place > 0 {
                        out.push_str(", ");
                    }
                    key.write_repr(out);
                    out.push_str(": ");
                    value.write_repr(out);
                }
                out.push('}');
            }
        }
    }
}

impl Dict {
    fn insert(&mut self, key: Text, value: Value) {
        let place = self.0.len();
        match self.0.entry(key) {
            Entry::Occupied(mut entry) => entry.get_mut().1 = value,
            Entry::Vacant(entry) => {
                entry.insert((place, value));
            }
        }
    }
}

impl Text {
    fn push(&mut self, code_point: u32) {
        match char::from_u32(code_point) {
            Some(c) => self
                .0
                .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                let continued = |shift: u32| (code_point >> shift) as u8 & 0x3F | 0x80;
                self.0.extend([0xED, continued(6), continued(0)]);
            }
        }
    }

    fn write_repr(&self, out: &mut String) {
        let quote = if self.0.contains(&b'\'') && !self.0.contains(&b'"') {
            '"'
        } else {
            '\''
        };
        out.push(quote);
        let mut rest: &[u8] = &self.0;
        loop {
            let (text, surrogate, tail) = split_at_surrogate(rest);
            for c in text.chars() {
                write_char_repr(c, quote, out);
            }
            let Some(surrogate) = surrogate else {
                break;
            };
            let _ = write!(out, "\\u{surrogate:04x}");
            rest = tail;
        }
        out.push(quote);
    }
}

fn write_char_repr(c: char, quote: char, out: &mut String) {
    let _ = match (c, u32::from(c)) {
        ('\\', _) => out.write_str("\\\\"),
        ('\t', _) => out.write_str("\\t"),
        ('\n', _) => out.write_str("\\n"),
        ('\r', _) => out.write_str("\\r"),
        _ if c == quote => write!(out, "\\{c}"),
        _ if is_printable(c) => out.write_char(c),
        (_, code @ 0..=0xFF) => write!(out, "\\x{code:02x}"),
        (_, code @ 0x100..=0xFFFF) => write!(out, "\\u{code:04x}"),
        (_, code) => write!(out, "\\U{code:08x}"),
    };
}

/// `str.isprintable`, for one character.
///
/// The standard library has the same table, from the same categories, and shows it through
/// `escape_debug`. The space goes before since a combining character is escaped where it is first.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{7F}' => false,
        _ => String::from_iter([' ', c]).escape_debug().nth(1) == Some(c),
    }
}

/// The shortest decimal that reads back as the same number.
fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return format!("{number}");
    }
    let shortest = format!("{number:e}");
    let (mantissa, _) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let precision = mantissa.trim_start_matches('-').len().saturating_sub(2);
    // Where two are equally near, Rust takes the upper and Python the even one.
    let even = format!("{number:.precision$e}");
    let chosen = if even.parse() == Ok(number) {
        even
    } else {
        shortest
    };

    let (mantissa, exponent) = chosen.split_once('e').unwrap_or((&chosen, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let decimals = usize::try_from(precision as i32 - exponent).unwrap_or(0);
        return format!("{number:.0$}", decimals.max(1));
    }
    format!("{mantissa}e{exponent:+03}")
}

/// The text up to the first surrogate, that surrogate, and what comes after it. What is neither
/// text nor a surrogate is left in the last, with no surrogate before it.
fn split_at_surrogate(bytes: &[u8]) -> (&str, Option<u16>, &[u8]) {
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match &bytes[text.len()..] {
        [0xED, high @ 0xA0..=0xBF, low @ 0x80..=0xBF, rest @ ..] => {
            let code = 0xD000 | u16::from(high & 0x3F) << 6 | u16::from(low & 0x3F);
            (text, Some(code), rest)
        }
        rest => (text, None, rest),
    }
}

/// `document.decode(json.detect_encoding(document), 'surrogatepass')`
fn decode(document: &[u8]) -> Option<Vec<u8>> {
    let utf_16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, []) = bytes.as_chunks() else {
            return None;
        };
        let mut text = Text(Vec::with_capacity(bytes.len()));
        for c in char::decode_utf16(units.iter().copied().map(unit)) {
            text.push(c.map_or_else(|lone| lone.unpaired_surrogate().into(), u32::from));
        }
        Some(text.0)
    };
    let utf_32 = |bytes: &[u8], unit: fn([u8; 4]) -> u32| {
        let (units, []) = bytes.as_chunks() else {
            return None;
        };
        let mut text = Text(Vec::with_capacity(bytes.len()));
        for code_point in units.iter().copied().map(unit) {
            if code_point > u32::from(char::MAX) {
                return None;
            }
            text.push(code_point);
        }
        Some(text.0)
    };
    match document {
        [0, 0, 0xFE, 0xFF, text @ ..] => utf_32(text, u32::from_be_bytes),
        [0xFF, 0xFE, 0, 0, text @ ..] => utf_32(text, u32::from_le_bytes),
        [0xFE, 0xFF, text @ ..] => utf_16(text, u16::from_be_bytes),
        [0xFF, 0xFE, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xEF, 0xBB, 0xBF, text @ ..] => utf_8(text),
        // Without a byte order mark, by where the zeros of the first, ASCII, characters are.
        [0, 0, _, _, ..] => utf_32(document, u32::from_be_bytes),
        [0, _, _, _, ..] | [0, _] => utf_16(document, u16::from_be_bytes),
        [_, 0, 0, 0, ..] => utf_32(document, u32::from_le_bytes),
        [_, 0, _, _, ..] | [_, 0] => utf_16(document, u16::from_le_bytes),
        _ => utf_8(document),
    }
}

fn utf_8(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes;
    loop {
        match split_at_surrogate(rest) {
            (_, Some(_), tail) => rest = tail,
            (_, None, []) => return Some(bytes.to_vec()),
            (_, None, _) => return None,
        }
    }
}

/// Python's JSON reader, over text as [`Text`] holds it.
struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, LoadError> {
        match self.rest {
            [b'"', ..] => self.string().map(Value::Str),
            [b'{', ..] => self.dict(deeper(depth)?).map(Value::Dict),
            [b'[', ..] => self.list(deeper(depth)?).map(Value::List),
            [b'-', b'0'..=b'9', ..] | [b'0'..=b'9', ..] => self.number(),
            _ => self.constant(),
        }
    }

    fn constant(&mut self) -> Result<Value, LoadError> {
        let constants = [
            ("null", Value::None),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (name, value) in constants {
            if self.takes(name) {
                return Ok(value);
            }
        }
        Err(LoadError::Value)
    }

    fn dict(&mut self, depth: usize) -> Result<Dict, LoadError> {
        let mut dict = Dict::default();
        self.expect("{")?;
        self.skip_white_space();
        if self.takes("}") {
            return Ok(dict);
        }
        loop {
            let key = self.string()?;
            self.skip_white_space();
            self.expect(":")?;
            self.skip_white_space();
            let value = self.value(depth)?;
            dict.insert(key, value);
            self.skip_white_space();
            if self.takes("}") {
                return Ok(dict);
            }
            self.expect(",")?;
            self.skip_white_space();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, LoadError> {
        let mut items = Vec::new();
        self.expect("[")?;
        self.skip_white_space();
        if self.takes("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_white_space();
            if self.takes("]") {
                return Ok(items);
            }
            self.expect(",")?;
            self.skip_white_space();
        }
    }

    fn string(&mut self) -> Result<Text, LoadError> {
        let mut text = Text(Vec::new());
        self.expect("\"")?;
        loop {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..0x20);
            let plain = self.rest.iter().position(special).ok_or(LoadError::Value)?;
            let (plain, rest) = self.rest.split_at(plain);
            text.0.extend_from_slice(plain);
            self.rest = rest;
            if self.takes("\"") {
                return Ok(text);
            }
            self.expect("\\")?;
            let code_point = self.escape()?;
            text.push(code_point);
        }
    }

    /// What comes after a backslash.
    fn escape(&mut self) -> Result<u32, LoadError> {
        let [letter, rest @ ..] = self.rest else {
            return Err(LoadError::Value);
        };
        self.rest = rest;
        let character = match letter {
            b'"' | b'\\' | b'/' => *letter,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.four_hex_digits()?;
                let after_first = self.rest;
                if matches!(first, 0xD800..=0xDBFF) && self.takes("\\u") {
                    let second = self.four_hex_digits()?;
                    if matches!(second, 0xDC00..=0xDFFF) {
                        return Ok(0x1_0000 + ((first - 0xD800) << 10 | (second - 0xDC00)));
                    }
                    self.rest = after_first;
                }
                return Ok(first);
            }
            _ => return Err(LoadError::Value),
        };
        Ok(character.into())
    }

    fn four_hex_digits(&mut self) -> Result<u32, LoadError> {
        let (digits, rest) = self.rest.split_first_chunk::<4>().ok_or(LoadError::Value)?;
        self.rest = rest;
        digits.iter().try_fold(0, |number, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(LoadError::Value)?;
            Ok(number << 4 | digit)
        })
    }

    fn number(&mut self) -> Result<Value, LoadError> {
        let at = |place: usize| self.rest.get(place);
        let digits_from = |place: usize| {
            let digits = self.rest.iter().skip(place);
            digits.take_while(|byte| byte.is_ascii_digit()).count()
        };

        let sign = usize::from(at(0) == Some(&b'-'));
        let digits = match at(sign) {
            Some(b'0') => 1,
            _ => digits_from(sign),
        };
        let integer = sign + digits;

        // A point or an `e` that no digit follows is not part of the number.
        let mut end = integer;
        if at(end) == Some(&b'.') && digits_from(end + 1) > 0 {
            end += 1 + digits_from(end + 1);
        }
        if matches!(at(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(at(end + 1), Some(b'+' | b'-')));
            let digits = digits_from(end + 1 + sign);
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }

        let (number, rest) = self.rest.split_at(end);
        let number = str::from_utf8(number).map_err(|_| LoadError::Value)?;
        self.rest = rest;
        if end > integer {
            let number = number.parse().map_err(|_| LoadError::Value)?;
            Ok(Value::Float(number))
        } else if digits > INTEGER_DIGITS_LIMIT {
            Err(LoadError::Value)
        } else if number == "-0" {
            Ok(Value::Int("0".to_owned()))
        } else {
            Ok(Value::Int(number.to_owned()))
        }
    }

    fn skip_white_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn takes(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), LoadError> {
        if self.takes(token) {
            Ok(())
        } else {
            Err(LoadError::Value)
        }
    }
}

fn deeper(depth: usize) -> Result<usize, LoadError> {
    if depth < NESTING_LIMIT {
        Ok(depth + 1)
    } else {
        Err(LoadError::Recursion)
    }
}
