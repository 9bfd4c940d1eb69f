//! JSON at random.

/// Chance, but the same every time: xorshift64*.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        number as usize % bound
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Any JSON value, in any spelling.
    pub(super) fn value(&mut self, depth: usize) -> String {
        match self.below(if depth > 0 { 10 } else { 7 }) {
            0 => self
                .one_of(&["null", "true", "false", "NaN", "-Infinity"])
                .to_owned(),
            1 => self.integer(),
            2 | 3 => self.float(),
            4..=6 => self.string(),
            7 | 8 => {
                let items: Vec<String> =
                    (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", items.join(self.one_of(&[",", ", ", "\n,\t"])))
            }
            _ => {
                let entries: Vec<String> = (0..self.below(5))
                    .map(|_| format!("{}: {}", self.string(), self.value(depth - 1)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn integer(&mut self) -> String {
        let sign = self.one_of(&["", "", "-"]);
        let first = self.one_of(&["1", "2", "9"]);
        format!("{sign}{first}{}", self.digits(40))
    }

    fn float(&mut self) -> String {
        let sign = self.one_of(&["", "", "-"]);
        match self.below(3) {
            0 => {
                // Any that there is.
                let bits = (self.below(1 << 32) as u64) << 32 | self.below(1 << 32) as u64;
                let float = f64::from_bits(bits);
                if float.is_finite() {
                    format!("{float:e}")
                } else {
                    "0.5".to_owned()
                }
            }
            1 => format!("{sign}{}.{}5", self.below(1000), self.digits(20)),
            _ => {
                let exponent = self.one_of(&["e", "E", "e+", "e-", "E-0"]);
                format!(
                    "{sign}{}.{}{exponent}{}",
                    self.below(10),
                    self.below(100),
                    self.below(25)
                )
            }
        }
    }

    fn digits(&mut self, limit: usize) -> String {
        (0..self.below(limit))
            .map(|_| char::from(b'0' + self.below(10) as u8))
            .collect()
    }

    /// Characters that every version of Unicode knows to be printable, or not.
    fn string(&mut self) -> String {
        let characters: String = (0..self.below(7))
            .map(|_| match self.below(4) {
                0 => char::from(b'#' + self.below(26) as u8).to_string(),
                1 => self
                    .one_of(&["'", "\\\"", "\\\\", "\\/", "\\n", "\\t", "\\b", "\u{7f}"])
                    .to_owned(),
                2 => self
                    .one_of(&[
                        "é",
                        "\u{ad}",
                        "漢",
                        "😀",
                        "\u{2028}",
                        "\u{301}",
                        "\u{10ffff}",
                    ])
                    .to_owned(),
                _ => format!(
                    "\\u{:04x}",
                    match self.below(3) {
                        0 => self.below(0x180),
                        1 => 0xD800 + self.below(0x400),
                        _ => 0xDC00 + self.below(0x400),
                    }
                ),
            })
            .collect();
        format!("\"{characters}\"")
    }
}
