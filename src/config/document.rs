//! A TOML file under inspection: hands out values with the line they stand on, and collects what is wrong instead of
//! stopping at the first. Whatever nobody asked for is an unknown key.

use std::{cell::RefCell, fmt::Display, ops::RangeBounds, str::FromStr};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Problem;

/// The problems found in one file so far.
pub(super) struct Document<'i> {
    file: &'i str,
    text: &'i str,
    problems: RefCell<Vec<Problem>>,
}

impl<'i> Document<'i> {
    pub(super) fn new(file: &'i str, text: &'i str) -> Self {
        Self { file, text, problems: RefCell::default() }
    }

    /// The file as a table; what is no TOML is left out and said.
    pub(super) fn parse(&self) -> Spanned<DeTable<'i>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.complain(error.span().map_or(0, |span| span.start), "", error.message());
        }
        table
    }

    pub(super) fn root<'t>(&'t self, table: &'t Spanned<DeTable<'i>>) -> Section<'t, 'i> {
        Section { document: self, path: String::new(), start: 0, table: table.get_ref(), known: Vec::new() }
    }

    /// Records a problem at byte `offset` of the file.
    pub(super) fn complain(&self, offset: usize, key: &str, message: impl Display) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let (file, key, message) = (self.file.to_owned(), key.to_owned(), message.to_string());
        self.problems.borrow_mut().push(Problem { file, line, key, message });
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// One table of a document.
pub(super) struct Section<'t, 'i> {
    document: &'t Document<'i>,
    path: String,
    start: usize,
    table: &'t DeTable<'i>,
    known: Vec<&'static str>,
}

impl<'t, 'i> Section<'t, 'i> {
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Complains about `key`, on its line, or its section's when it is not there.
    pub(super) fn complain(&self, key: &str, message: impl Display) {
        let offset = self.table.get(key).map_or(self.start, |value| value.span().start);
        self.document.complain(offset, &self.key(key), message);
    }

    fn wrong_type(&self, key: &str, want: &str, got: &DeValue<'_>) {
        self.complain(key, format!("must be {want}, not {}", got.type_str()));
    }

    /// Says that `key` is missing when `value` is none for that reason.
    pub(super) fn required<T>(&self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.table.contains_key(key) {
            self.complain(key, "is missing");
        }
        value
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.value(key)?.get_ref();
        let text = value.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong_type(key, "a text", value);
        }
        text
    }

    /// A text that `T` can be made of.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        text.parse().map_err(|error| self.complain(key, error)).ok()
    }

    /// One of `choices` by name.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.complain(key, format!("{text:?} is not one of {}", names.join(", ")));
        }
        chosen
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?.get_ref();
        if value.as_bool().is_none() {
            self.wrong_type(key, "true or false", value);
        }
        value.as_bool()
    }

    /// A finite number within `range`.
    pub(super) fn number(&mut self, key: &'static str, range: impl RangeBounds<f64> + std::fmt::Debug) -> Option<f64> {
        let value = self.value(key)?.get_ref();
        let Some(number) = number(value) else {
            self.wrong_type(key, "a number", value);
            return None;
        };
        if !number.is_finite() {
            self.complain(key, "must be a finite number");
            return None;
        }
        if !range.contains(&number) {
            self.complain(key, format!("{number} is outside {range:?}"));
            return None;
        }
        Some(number)
    }

    /// A whole number within `range`.
    pub(super) fn whole(&mut self, key: &'static str, range: impl RangeBounds<u64> + std::fmt::Debug) -> Option<u64> {
        let value = self.value(key)?.get_ref();
        let number = value.as_integer().and_then(|n| u64::from_str_radix(&n.as_str().replace('_', ""), n.radix()).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.complain(key, format!("must be a whole number in {range:?}"));
        }
        number
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?.get_ref();
        let list = value.as_array().map(|list| list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)));
        let texts = list.and_then(Iterator::collect);
        if texts.is_none() {
            self.wrong_type(key, "a list of texts", value);
        }
        texts
    }

    /// A list of finite numbers.
    pub(super) fn numbers(&mut self, key: &'static str) -> Option<Vec<f64>> {
        let value = self.value(key)?.get_ref();
        let numbers = numbers(value);
        if numbers.is_none() {
            self.complain(key, "must be a list of finite numbers");
        }
        numbers
    }

    /// A list of lists of `N` numbers; `what` says of what kind.
    pub(super) fn points<const N: usize>(&mut self, key: &'static str, what: &str) -> Option<Vec<[f64; N]>> {
        let value = self.value(key)?.get_ref();
        let point = |item: &Spanned<DeValue<'_>>| numbers(item.get_ref())?.try_into().ok();
        let points = value.as_array().and_then(|list| list.iter().map(point).collect());
        if points.is_none() {
            self.complain(key, format!("must be a list of {what}, finite numbers"));
        }
        points
    }

    /// A table under `key`; an empty one, whose problems point here, when it is not there.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'t, 'i>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, "a section", value.get_ref());
            return None;
        };
        Some(self.inner(self.key(key), value.span().start, table))
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'t, 'i>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(list) = value.get_ref().as_array() else {
            self.wrong_type(key, "a list of sections ([[…]])", value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (n, item) in list.iter().enumerate() {
            match item.get_ref().as_table() {
                Some(table) => sections.push(self.inner(format!("{}[{n}]", self.key(key)), item.span().start, table)),
                None => self.wrong_type(key, "a list of sections ([[…]])", item.get_ref()),
            }
        }
        sections
    }

    fn inner(&self, path: String, start: usize, table: &'t DeTable<'i>) -> Section<'t, 'i> {
        Section { document: self.document, path, start, table, known: Vec::new() }
    }

    /// Allows `key`, whatever it holds.
    pub(super) fn allow(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Complains about every key that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let near = self.known.iter().filter(|known| distance(known, name) <= 2).min_by_key(|k| distance(k, name));
            let hint = near.map_or_else(
                || format!("known here: {}", self.known.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            self.document.complain(key.span().start, &self.key(name), format!("unknown key; {hint}"));
        }
    }
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let float = value.as_float().and_then(|float| float.as_str().replace('_', "").parse().ok());
    let integer = || value.as_integer().filter(|n| n.radix() == 10)?.as_str().replace('_', "").parse().ok();
    float.or_else(integer)
}

fn numbers(value: &DeValue<'_>) -> Option<Vec<f64>> {
    let one = |item: &Spanned<DeValue<'_>>| number(item.get_ref()).filter(|number| number.is_finite());
    value.as_array()?.iter().map(one).collect()
}

/// Levenshtein's edit distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}
