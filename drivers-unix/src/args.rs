//! Boot parameters as arguments: each is one word of the command line that a guest would have.

use std::ffi::OsString;

/// An argument that cannot be a parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument {0:?} is not UTF-8")]
pub struct BadArgument(pub OsString);

/// The command line of arguments, the program's name not among them. What has blanks in it is put in quotes, so that
/// `greeting='good morning'` needs none beside the shell's.
pub fn command_line(args: impl IntoIterator<Item = OsString>) -> Result<String, BadArgument> {
    let mut line = String::new();
    for arg in args {
        let word = arg.into_string().map_err(BadArgument)?;
        if !line.is_empty() {
            line.push(' ');
        }
        let is_whole = word.contains('"') || !word.contains(|c: char| c.is_ascii_whitespace());
        match word.split_once('=') {
            Some((name, value)) if !is_whole => line.push_str(&format!("{name}=\"{value}\"")),
            _ => line.push_str(&word),
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn line(args: &[&str]) -> String {
        command_line(args.iter().map(OsString::from)).unwrap()
    }

    #[test]
    fn words_of_a_line() {
        assert_eq!(line(&[]), "");
        assert_eq!(line(&["port=8080", "log=warn,web=debug"]), "port=8080 log=warn,web=debug");
        assert_eq!(line(&["greeting=good morning", "log=info"]), "greeting=\"good morning\" log=info");
        assert_eq!(line(&["greeting=\"good morning\""]), "greeting=\"good morning\"");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let bad = OsString::from_vec(vec![b'a', 0xff]);
        assert_eq!(command_line([bad.clone()]), Err(BadArgument(bad)));
    }
}
