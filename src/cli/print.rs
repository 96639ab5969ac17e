//! Lines on standard output for commands whose answer may be read in part (`| head`): a reader who has gone is no
//! failure. What must not be lost, such as a token that is shown once, is not printed with this.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write as _},
};

/// Prints one line.
///
/// # Errors
/// When standard output fails for another reason than that its reader has gone.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    forgive(writeln!(io::stdout(), "{text}"))
}

fn forgive(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_who_has_gone_is_forgiven() {
        assert!(forgive(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(forgive(Err(ErrorKind::StorageFull.into())).is_err());
    }
}
