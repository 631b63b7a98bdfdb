//! Owns the tables in which lists are shown to people: columns of set widths, as a terminal shows letters, which fit one of 100 columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use uuid::Uuid;

use crate::base::Timestamp;

/// How wide the lines are of what is no terminal's.
pub(super) const WIDTH: usize = 100;

/// The width of an id.
pub(super) const ID: usize = 36;

/// The width of a time: see [`when`].
pub(super) const TIME: usize = 20;

/// The width of a last column: what stands there is whole, but on a terminal, where its line ends ([`Output::row`](super::Output::row)).
pub(super) const WHOLE: usize = usize::MAX;

/// What is between two columns.
const GAP: &str = "  ";

/// How many of its letters are left of an id that is shortened: those that differ between ids of one moment.
const LETTERS_OF_ID: usize = 12;

/// A table of `N` columns: the heading of each, and how wide it is.
pub(super) struct Table<const N: usize>(pub(super) [(&'static str, usize); N]);

impl<const N: usize> Table<N> {
    /// The line with the headings.
    pub(super) fn heading(&self) -> String {
        self.row(self.0.map(|(heading, _)| heading))
    }

    /// A line with `cells`. One that is too wide for its column is cut, and ends with `…`: the JSON has it whole.
    pub(super) fn row(&self, cells: [&str; N]) -> String {
        let mut line = String::new();
        for (at, (cell, (_, width))) in cells.into_iter().zip(self.0).enumerate() {
            if at > 0 {
                line.push_str(GAP);
            }
            let cell = cut(cell, width);
            line.push_str(&cell);
            if at + 1 < N {
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
            }
        }
        line
    }
}

/// `text`, or its beginning if it is wider than `width`.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |char: &char| match left.checked_sub(char.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    // What stands above the letter before it takes no room.
    text.chars().take_while(fits).chain(['…']).collect()
}

/// A time, to the second.
pub(super) fn when(time: Timestamp) -> String {
    Timestamp::from_micros(time.as_secs().saturating_mul(1_000_000)).to_string()
}

/// The same, if there is one.
pub(super) fn when_if(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), when)
}

/// The end of an id, by which it is found among those that the JSON has whole.
pub(super) fn short(id: Uuid) -> String {
    let id = id.to_string();
    format!("…{}", &id[id.len() - LETTERS_OF_ID..])
}

/// `parts` with `; ` between them, in as many lines as it takes to stay within `width`. A part that is wider than that has its own.
pub(super) fn lines(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if line.width() + 2 + part.width() <= width => {
                line.push_str("; ");
                line.push_str(part);
            }
            _ => lines.push(part.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_padded_and_what_is_too_long_is_cut_where_that_is_seen() {
        let table = Table([("ROLE", 6), ("AUDIENCE", 8), ("WHO", WHOLE)]);
        assert_eq!(table.heading(), "ROLE    AUDIENCE  WHO");
        assert_eq!(table.row(["picker", "größen", "x"]), "picker  größen    x");
        let long = "a".repeat(200);
        assert_eq!(table.row(["pickers", "-", &long]), format!("picke…  -         {long}"));
        assert_eq!(Table([("SCOPES", 4)]).row(["a b c"]), "a b…");
    }

    #[test]
    fn columns_stand_below_each_other_whatever_letters_are_in_them() {
        let table = Table([("NAME", 6), ("WHO", WHOLE)]);
        let row = |name| table.row([name, "x"]);
        // Two columns each; a letter with its accent apart; one that is cut within; and a face that is one of four signs.
        assert_eq!(row("東京"), "東京    x");
        assert_eq!(row("e\u{301}te\u{301}"), "e\u{301}te\u{301}     x");
        assert_eq!(row("東京都庁"), "東京…   x");
        assert_eq!(row("a東京都庁"), "a東京…  x");
        assert_eq!(row("abcde\u{301}fg"), "abcde\u{301}…  x");
        assert_eq!(cut("東京", 4), "東京");
        assert_eq!(cut("東京", 3), "東…");
    }

    #[test]
    fn times_are_of_one_width_and_ids_end_as_they_do() {
        for micros in [1_795_000_000_000_000, 1_795_000_000_018_710, 1_795_000_000_999_999] {
            let shown = when(Timestamp::from_micros(micros));
            assert_eq!(shown, "2026-11-18T11:06:40Z");
            assert_eq!(shown.len(), TIME);
        }
        assert_eq!(when_if(None), "-");
        assert_eq!(short(Uuid::from_u128(0x0123_4567_89ab_cdef)), "…456789abcdef");
    }

    #[test]
    fn parts_are_told_in_as_many_lines_as_they_need() {
        let parts = ["one", "two", "three", "a long one"].map(str::to_owned);
        assert_eq!(lines(&parts, 10), ["one; two", "three", "a long one"]);
        assert_eq!(lines(&parts[2..], 5), ["three", "a long one"]);
    }
}
