//! A row of the table: several ways to do the same thing, one of which is the others' measure.

/// Who does it, in the table's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Ours,
    ByHand,
    Ureq,
    Reqwest,
    Curl,
    Python,
}

pub const EVERYONE: [Who; 6] = [
    Who::Ours,
    Who::ByHand,
    Who::Ureq,
    Who::Reqwest,
    Who::Curl,
    Who::Python,
];

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Ours => "opteryx-webhooks",
            Who::ByHand => "by hand",
            Who::Ureq => "stock ureq",
            Who::Reqwest => "reqwest",
            Who::Curl => "curl",
            Who::Python => "Python",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Nanoseconds,
    /// Processor instructions, or system calls.
    Pieces,
}

/// What a line does at its turn: it appends what each event took, in nanoseconds.
type Turn = Box<dyn FnMut(&mut Vec<f64>)>;

pub struct Line {
    pub who: Who,
    turn: Turn,
    pub values: Vec<f64>,
}

pub struct Row {
    pub name: String,
    pub unit: Unit,
    /// Whom the others are compared with.
    pub measure: Who,
    pub lines: Vec<Line>,
}

impl Row {
    pub fn new(name: impl Into<String>, measure: Who) -> Row {
        Row {
            name: name.into(),
            unit: Unit::Nanoseconds,
            measure,
            lines: Vec::new(),
        }
    }

    /// One with what has been counted already.
    pub fn counted<const N: usize>(name: &str, counts: [(Who, f64); N]) -> Row {
        let mut row = Row::new(name, Who::ByHand);
        row.unit = Unit::Pieces;
        for (who, count) in counts {
            row.line(who, |_| {});
            row.lines[0..].last_mut().unwrap().values.push(count);
        }
        row
    }

    pub fn line(&mut self, who: Who, turn: impl FnMut(&mut Vec<f64>) + 'static) {
        self.lines.push(Line {
            who,
            turn: Box::new(turn),
            values: Vec::new(),
        });
    }

    pub fn with(mut self, who: Who, turn: impl FnMut(&mut Vec<f64>) + 'static) -> Row {
        self.line(who, turn);
        self
    }

    /// One turn each, another first in every round.
    pub fn take_turns(&mut self, round: usize) {
        let lines = self.lines.len();
        for offset in 0..lines {
            let line = &mut self.lines[(round + offset) % lines];
            (line.turn)(&mut line.values);
        }
    }

    /// What is in the middle of what that one took, if it took part.
    pub fn median(&self, who: Who) -> Option<f64> {
        let line = self.lines.iter().find(|line| line.who == who)?;
        line.quantile(0.5)
    }

    /// How many times the measure's that one's median is.
    pub fn ratio(&self, who: Who) -> Option<f64> {
        Some(self.median(who)? / self.median(self.measure)?)
    }
}

impl Line {
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let mut values = self.values.clone();
        values.sort_unstable_by(f64::total_cmp);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss
        )]
        let at = (values.len() as f64 * part) as usize;
        values.get(at).copied()
    }
}
