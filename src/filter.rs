//! Which events are sent: the patterns of `OPTERYX_WEBHOOK_EVENTS`.

use std::array;

use crate::event::{Action, ResourceType};
use crate::value::entries;

/// Patterns such as `dataset.create` or `view.*`; without any, everything passes.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    patterns: Vec<Pattern>,
    /// What the patterns say of the words that this crate knows, found out beforehand: an event that
    /// is left out should cost next to nothing, which comparing words does not.
    admitted: [[bool; Action::KNOWN.len()]; ResourceType::KNOWN.len()],
}

/// `None` is a `*`.
#[derive(Clone, Debug)]
struct Pattern {
    resource_type: Option<String>,
    action: Option<String>,
}

impl Filter {
    fn new(patterns: Vec<Pattern>) -> Filter {
        let admitted = array::from_fn(|resource_type| {
            array::from_fn(|action| {
                let words = (ResourceType::KNOWN[resource_type], Action::KNOWN[action]);
                fits(&patterns, words.0, words.1)
            })
        });
        Filter { patterns, admitted }
    }

    /// Parses patterns that are separated by spaces or commas. The error says what would be right.
    pub(crate) fn parse(patterns: &str) -> Result<Filter, &'static str> {
        let part = |word: &str| match word {
            "*" => Some(None),
            word if word.is_empty() || word.contains(['.', '*']) => None,
            word => Some(Some(word.to_owned())),
        };
        entries(patterns)
            .map(|pattern| {
                // A lone `*` is everything.
                let (resource_type, action) = match pattern {
                    "*" => ("*", "*"),
                    _ => pattern.split_once('.')?,
                };
                Some(Pattern {
                    resource_type: part(resource_type)?,
                    action: part(action)?,
                })
            })
            .collect::<Option<Vec<_>>>()
            .filter(|patterns| !patterns.is_empty())
            .map(Filter::new)
            .ok_or(
                "must be patterns of the form `<resource type>.<action>`, separated by spaces or \
                 commas, such as `dataset.create view.*`",
            )
    }

    /// For each word that this crate does not know itself, and that may be misspelt: what it stands
    /// for, and the nearest known one.
    pub(crate) fn unfamiliar(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let unfamiliar = |part: &'static str, word: &Option<String>, known: &[&'static str]| {
            let word = word.as_deref().filter(|word| !known.contains(word))?;
            let distance = |known: &&&str| strsim::damerau_levenshtein(known, word);
            Some((part, *known.iter().min_by_key(distance)?))
        };
        self.patterns.iter().flat_map(move |pattern| {
            let resource_type =
                unfamiliar("resource type", &pattern.resource_type, ResourceType::KNOWN);
            let action = unfamiliar("action", &pattern.action, Action::KNOWN);
            resource_type.into_iter().chain(action)
        })
    }

    /// The patterns as they were given.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (&str, &str)> {
        fn shown(part: &Option<String>) -> &str {
            part.as_deref().unwrap_or("*")
        }
        self.patterns
            .iter()
            .map(move |pattern| (shown(&pattern.resource_type), shown(&pattern.action)))
    }

    #[inline]
    pub(crate) fn admits(&self, resource_type: &ResourceType<'_>, action: &Action<'_>) -> bool {
        match (resource_type.place(), action.place()) {
            (Some(resource_type), Some(action)) => self.admitted[resource_type][action],
            _ => fits(&self.patterns, resource_type.as_str(), action.as_str()),
        }
    }
}

impl Default for Filter {
    fn default() -> Filter {
        Filter::new(Vec::new())
    }
}

/// Whether one of the patterns fits, or there is none.
fn fits(patterns: &[Pattern], resource_type: &str, action: &str) -> bool {
    let fits = |wanted: &Option<String>, word: &str| wanted.as_deref().is_none_or(|w| w == word);
    patterns.is_empty()
        || patterns.iter().any(|pattern| {
            fits(&pattern.resource_type, resource_type) && fits(&pattern.action, action)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_admit_what_they_name() {
        let admits = |patterns: &str, resource_type: &str, action: &str| {
            Filter::parse(patterns)
                .unwrap()
                .admits(&resource_type.into(), &action.into())
        };
        assert!(admits("dataset.create view.*", "dataset", "create"));
        assert!(admits("dataset.create,view.*", "view", "delete"));
        assert!(!admits("dataset.create, view.*", "dataset", "delete"));
        assert!(!admits("dataset.create", "view", "create"));
        assert!(admits("*.create", "anything", "create"));
        assert!(admits("*", "anything", "goes"));
        assert!(Filter::default().admits(&"x".into(), &"y".into()));
    }

    #[test]
    fn a_known_word_is_admitted_however_it_is_given() {
        for patterns in [
            "dataset.create view.*",
            "*.lock",
            "*",
            "secret.rename other.word",
        ] {
            let filter = Filter::parse(patterns).unwrap();
            for resource_type in ResourceType::KNOWN {
                for action in Action::KNOWN {
                    let known = filter.admits(&(*resource_type).into(), &(*action).into());
                    let resource_type = ResourceType::Other(resource_type);
                    let other = filter.admits(&resource_type, &Action::Other(action));
                    assert_eq!(known, other, "{patterns}: {resource_type}.{action}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for patterns in [
            "dataset",
            "dataset.",
            ".create",
            "a.b.c",
            "data*.create",
            ",",
            "* x",
        ] {
            assert!(Filter::parse(patterns).is_err(), "{patterns:?}");
        }
    }
}
