//! Owns the comments of the proto: what the descriptors say of each element in words.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

/// Where the comment at the head of a file stands: `FileDescriptorProto.syntax`.
const SYNTAX: [i32; 1] = [12];

/// How the paragraph of a method begins that names its errors.
const ERRORS: &str = "Errors: ";

/// The comments of all files, by the file and by where the element stands in it.
pub(super) struct Comments(HashMap<String, HashMap<Vec<i32>, String>>);

impl Comments {
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let files = pool.files().map(|file| {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            let locations = info.map(|info| &info.location[..]).unwrap_or_default().iter();
            let said = locations.filter(|location| location.leading_comments.is_some());
            let said = said.map(|location| (location.path.clone(), text(location.leading_comments())));
            (file.name().to_owned(), said.collect())
        });
        Self(files.collect())
    }

    /// What is said of the element that stands at `path` in `file`; nothing if there is no comment.
    pub(super) fn at(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        self.0.get(file.name()).and_then(|file| file.get(path)).map_or("", String::as_str)
    }

    /// What is said at the head of `file`.
    pub(super) fn head(&self, file: &FileDescriptor) -> &str {
        self.at(file, &SYNTAX)
    }
}

/// A comment without its line ends: paragraphs, and the items of lists, a line each.
fn text(comment: &str) -> String {
    let mut text = String::new();
    for line in comment.lines().map(str::trim) {
        let is_item = line.starts_with("- ");
        match (line.is_empty(), text.is_empty() || text.ends_with('\n')) {
            (true, false) => text.push_str("\n\n"),
            (true, true) => {}
            (false, begins) => {
                if !begins {
                    text.push(if is_item { '\n' } else { ' ' });
                }
                text.push_str(line);
            }
        }
    }
    text.trim_end().to_owned()
}

/// The first sentence of `text`, without its full stop.
pub(super) fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.split_once(". ").map_or(line.trim_end_matches(['.', ':']), |(first, _)| first)
}

/// `text` without the paragraph of its errors, and that paragraph.
pub(super) fn without_errors(text: &str) -> (String, &str) {
    let (errors, others): (Vec<_>, Vec<_>) =
        text.split("\n\n").partition(|paragraph| paragraph.starts_with(ERRORS));
    (others.join("\n\n"), errors.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_paragraphs_and_items() {
        let comment = " One\n two.\n\n Some:\n - a\n   b\n - c\n\n Errors: X.\n";
        let text = text(comment);
        assert_eq!(text, "One two.\n\nSome:\n- a b\n- c\n\nErrors: X.");
        assert_eq!(first_sentence(&text), "One two");
        assert_eq!(without_errors(&text), ("One two.\n\nSome:\n- a b\n- c".to_owned(), "Errors: X."));
        assert_eq!(first_sentence("One: two. Three."), "One: two");
    }
}
