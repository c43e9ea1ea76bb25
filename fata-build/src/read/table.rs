//! Tables and values of a TOML document that know where they stand.

use crate::{Error, Size, near};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The document in a text.
pub fn parse<'t>(file: &str, text: &'t str) -> Result<DeTable<'t>, Error> {
    DeTable::parse(text).map(Spanned::into_inner).map_err(|error| {
        let message = error.message().trim_end().replace('\n', ", ");
        match error.span() {
            Some(span) => Error::at(file, line_of(text, span.start), message),
            None => Error::of_file(file, message),
        }
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A table, and its name as one would write it.
pub struct Table<'t> {
    file: &'t str,
    text: &'t str,
    path: String,
    line: usize,
    table: &'t DeTable<'t>,
}

/// A key and its value.
pub struct Item<'t> {
    /// The key.
    pub key: &'t str,
    /// The line of the key.
    pub line: usize,
    file: &'t str,
    text: &'t str,
    path: String,
    value: &'t DeValue<'t>,
}

impl<'t> Table<'t> {
    /// The whole document.
    pub fn root(file: &'t str, text: &'t str, table: &'t DeTable<'t>) -> Self {
        Self { file, text, path: String::new(), line: 1, table }
    }

    /// All entries, in the order of the file.
    pub fn items(&self) -> Vec<Item<'t>> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let item = |(key, value): (&'t Spanned<_>, &'t Spanned<DeValue<'t>>)| {
            let key_text: &'t std::borrow::Cow<'t, str> = key.get_ref();
            let dot = if self.path.is_empty() { "" } else { "." };
            Item {
                key: key_text,
                line: line_of(self.text, key.span().start),
                file: self.file,
                text: self.text,
                path: format!("{}{dot}{key_text}", self.path),
                value: value.get_ref(),
            }
        };
        entries.into_iter().map(item).collect()
    }

    /// The entry of that name.
    pub fn get(&self, key: &str) -> Option<Item<'t>> {
        self.items().into_iter().find(|item| item.key == key)
    }

    /// The entry of that name, which must be there.
    pub fn require(&self, key: &str) -> Result<Item<'t>, Error> {
        let missing = || Error::at(self.file, self.line, format!("[{}] has no {key:?}", self.path));
        self.get(key).ok_or_else(missing)
    }

    /// Refuses keys that are none of these.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), Error> {
        let Some(item) = self.items().into_iter().find(|item| !known.contains(&item.key)) else {
            return Ok(());
        };
        let place = match &*self.path {
            "" => "at the top".to_owned(),
            path => format!("in [{path}]"),
        };
        let hint = near::hint(item.key, known.iter().copied());
        let message = format!("unknown key {:?} {place}{hint}; known are: {}", item.key, known.join(", "));
        Err(Error::at(self.file, item.line, message))
    }
}

impl<'t> Item<'t> {
    /// An error that names this entry.
    pub fn error<T>(&self, message: String) -> Result<T, Error> {
        Err(Error::at(self.file, self.line, format!("{}: {message}", self.path)))
    }

    /// What TOML calls the value: `integer`.
    pub fn what(&self) -> &'static str {
        self.value.type_str()
    }

    fn expected<T>(&self, what: &str) -> Result<T, Error> {
        self.error(format!("expected {what}, found {} {}", article(self.what()), self.what()))
    }

    /// A table.
    pub fn table(&self) -> Result<Table<'t>, Error> {
        match self.value {
            DeValue::Table(table) => Ok(Table {
                file: self.file,
                text: self.text,
                path: self.path.clone(),
                line: self.line,
                table,
            }),
            _ => self.error(format!(
                "expected a table, as in [{}], found {} {}",
                self.path,
                article(self.what()),
                self.what()
            )),
        }
    }

    /// A text in quotes.
    pub fn text(&self) -> Result<&'t str, Error> {
        self.value.as_str().map_or_else(|| self.expected("a text in quotes"), Ok)
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Result<bool, Error> {
        self.value.as_bool().map_or_else(|| self.expected("true or false"), Ok)
    }

    /// A whole number from 0 up, in digits.
    pub fn integer(&self) -> Result<String, Error> {
        let Some(integer) = self.value.as_integer() else { return self.expected("a whole number") };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Ok(number.to_string()),
            Err(_) => self.error(format!("{} is not a whole number from 0 up", integer.as_str())),
        }
    }

    /// Texts with commas between, from a list of them or from one that is written so.
    pub fn list(&self) -> Result<String, Error> {
        let Some(array) = self.value.as_array() else { return self.text().map(str::to_owned) };
        let texts: Option<Vec<&str>> = array.iter().map(|entry| entry.get_ref().as_str()).collect();
        texts.map_or_else(
            || self.error("expected a list of texts in quotes".to_owned()),
            |texts| Ok(texts.join(",")),
        )
    }

    /// A size: a text with its unit, or a number of octets.
    pub fn size(&self) -> Result<Size, Error> {
        let text = if self.value.is_integer() { self.integer()? } else { self.text()?.to_owned() };
        text.parse().or_else(|error| self.error(format!("{text:?} is {error}")))
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}
