//! Header fields, a line at a time (RFC 9112 section 5). Strict where leniency has let requests be smuggled: lines end in
//! CRLF, none is folded, no blank stands before a colon.

use crate::Status;
use crate::head::Span;
use crate::octets::Class;

/// A line of the header section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A field, its value without the blanks around it; the next line starts at `end`.
    Field { name: Span, value: Span, end: usize },
    /// The empty line; content starts at `end`.
    Last { end: usize },
}

/// Reads the line that starts at `start`; `None` while it has not ended.
pub(crate) fn line(input: &[u8], start: usize) -> Result<Option<Line>, Status> {
    if input.get(start) == Some(&b'\r') {
        return Ok(line_end(input, start)?.map(|end| Line::Last { end }));
    }
    let colon = start + Class::TOKEN.run(&input[start..]);
    match input.get(colon) {
        None => return Ok(None),
        Some(b':') if colon > start => {}
        Some(_) => return Err(Status::BAD_REQUEST),
    }
    let after = &input[colon + 1..];
    let text = &after[..Class::VALUE.run(after)];
    let Some(end) = line_end(input, colon + 1 + text.len())? else { return Ok(None) };
    let blanks = text.iter().take_while(|b| is_blank(b)).count();
    let value = colon + 1 + blanks;
    let len = text[blanks..].iter().rposition(|b| !is_blank(b)).map_or(0, |last| last + 1);
    Ok(Some(Line::Field { name: Span::new(start, colon), value: Span::new(value, value + len), end }))
}

/// Behind the CRLF that must stand at `at`; `None` while it is not whole.
pub(crate) fn line_end(input: &[u8], at: usize) -> Result<Option<usize>, Status> {
    match input[at..] {
        [b'\r', b'\n', ..] => Ok(Some(at + 2)),
        [] | [b'\r'] => Ok(None),
        _ => Err(Status::BAD_REQUEST),
    }
}

fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Result<Option<(&str, &str)>, Status> {
        Ok(line(text.as_bytes(), 0)?.map(|line| match line {
            Line::Field { name, value, end } => {
                assert_eq!(end, text.len());
                let part = |s: Span| &text[usize::from(s.start)..usize::from(s.end)];
                (part(name), part(value))
            }
            Line::Last { end } => {
                assert_eq!(end, text.len());
                ("", "")
            }
        }))
    }

    #[test]
    fn lines() {
        for (text, name, value) in [
            ("\r\n", "", ""),
            ("a:\r\n", "a", ""),
            ("a: \t \r\n", "a", ""),
            ("A-b:c\r\n", "A-b", "c"),
            ("a: \t b  c\t \r\n", "a", "b  c"),
            ("a: \u{e9}:\r\n", "a", "\u{e9}:"),
        ] {
            assert_eq!(split(text), Ok(Some((name, value))), "{text:?}");
            for end in 0..text.len() {
                let whole = text.is_char_boundary(end);
                assert!(!whole || split(&text[..end]) == Ok(None), "{:?}", &text[..end]);
            }
        }
    }

    /// All fields of a section, and where it ends.
    type Section<'a> = (Vec<(&'a [u8], &'a [u8])>, usize);

    fn section(input: &[u8]) -> Result<Option<Section<'_>>, Status> {
        let (mut fields, mut at) = (Vec::new(), 0);
        loop {
            match line(input, at)? {
                None => return Ok(None),
                Some(Line::Last { end }) => return Ok(Some((fields, end))),
                Some(Line::Field { name, value, end }) => {
                    fields.push((name.of(input), value.of(input)));
                    at = end;
                }
            }
        }
    }

    proptest! {
        /// A bare line feed alone is refused here and taken there.
        #[test]
        fn sections_are_read_as_httparse_reads_them(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "Host", "x-9", ":", ": ", " ", "\t", "\r\n", "\r\n", "\r\n\r\n", "\r", "\n", "b c", "\0", "\x7f", "\u{e9}",
                    "(", "\"", ",", "!#$%&'*+-.^_`|~",
                ]),
                0..24,
            )
        ) {
            let text = pieces.concat();
            let input = text.as_bytes();
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let has_bare_lf = (0..input.len()).any(|n| input[n] == b'\n' && (n == 0 || input[n - 1] != b'\r'));
            match (section(input), httparse::parse_headers(input, &mut headers)) {
                (Ok(Some((fields, end))), Ok(httparse::Status::Complete((len, theirs)))) => {
                    prop_assert_eq!(end, len);
                    let theirs: Vec<_> = theirs.iter().map(|h| (h.name.as_bytes(), h.value)).collect();
                    prop_assert_eq!(fields, theirs);
                }
                (Ok(None), Ok(httparse::Status::Partial)) | (Err(_), Err(_)) => {}
                (Err(_), Ok(_)) if has_bare_lf => {}
                (ours, theirs) => prop_assert!(false, "{:?}: {:?} and {:?}", text, ours, theirs),
            }
        }
    }

    #[test]
    fn what_is_no_line() {
        for text in [
            "\n",
            "\r\r",
            "\ra",
            ":a\r\n",
            "a :b\r\n",
            " a:b\r\n",
            "a\r\n",
            "a\n",
            "a:b\n",
            "a:b\rc",
            "a:\0\r\n",
            "a:\x7f",
            "(a):b\r\n",
            "\u{e9}:b\r\n",
        ] {
            assert_eq!(split(text), Err(Status::BAD_REQUEST), "{text:?}");
        }
    }
}
