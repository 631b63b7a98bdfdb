//! Owns that the map of rooms is true: whatever it allows is done somewhere, and docs/ARCHITECTURE.md draws it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    iter::Peekable,
};

use super::{ROOMS, module_of, paths::paths, root, rust_files, target_room};

/// What comes before the drawing.
const HEADING: &str = "Who may import whom:\n\n";

/// The pairs of a drawing such as `a -> { b -> c, d } -> e`: a room, and one that stands behind an arrow from it.
type Arrows = BTreeSet<(String, String)>;

/// Reads rooms with arrows between them, adds these to `arrows`, and returns the rooms.
fn chain<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, arrows: &mut Arrows) -> Vec<String> {
    let mut above = rooms(words, arrows);
    while words.next_if_eq(&"->").is_some() {
        let below = rooms(words, arrows);
        arrows.extend(above.iter().flat_map(|room| below.iter().map(|other| (room.clone(), other.clone()))));
        above.extend(below);
    }
    above
}

/// Reads one room, or several chains in braces.
fn rooms<'a>(words: &mut Peekable<impl Iterator<Item = &'a str>>, arrows: &mut Arrows) -> Vec<String> {
    let first = words.next().expect("a room");
    if first != "{" {
        return vec![first.to_owned()];
    }
    let mut all = chain(words, arrows);
    while words.next_if_eq(&",").is_some() {
        all.extend(chain(words, arrows));
    }
    assert_eq!(words.next(), Some("}"), "a brace that is open is closed");
    all
}

/// The rooms of `drawing`, and its arrows.
fn read(drawing: &str) -> (Vec<String>, Arrows) {
    let apart = ["{", "}", ","]
        .iter()
        .fold(drawing.to_owned(), |text, sign| text.replace(sign, &format!(" {sign} ")));
    let (mut words, mut arrows) = (apart.split_whitespace().peekable(), Arrows::new());
    let rooms = chain(&mut words, &mut arrows);
    assert_eq!(words.next(), None, "an arrow leads on from every room but the last");
    (rooms, arrows)
}

#[test]
fn the_drawing_has_every_room_and_an_arrow_for_every_import() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the page");
    let (_, drawing) = page.split_once(HEADING).expect("the drawing");
    let (mut drawn, arrows) = read(drawing.split_once("\n\n").expect("its end").0);
    drawn.sort_unstable();
    let mut rooms: Vec<_> = ROOMS.iter().map(|room| room.name).collect();
    rooms.sort_unstable();
    assert_eq!(drawn, rooms, "every room is drawn once");
    for room in ROOMS {
        for below in room.may_import {
            let arrow = (room.name.to_owned(), (*below).to_owned());
            assert!(
                arrows.contains(&arrow),
                "docs/ARCHITECTURE.md draws no arrow from {} to {below}",
                room.name
            );
        }
    }
}

#[test]
fn the_map_allows_nothing_that_no_room_does() {
    let mut done: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in rust_files("src") {
        let module = module_of(&file);
        if let Some(room) = module.first() {
            let targets = paths(&text).into_iter().filter_map(|path| target_room(&module, &path));
            done.entry(room.clone()).or_default().extend(targets);
        }
    }
    for room in ROOMS {
        let done = done.get(room.name).expect("a room has files");
        let undone: Vec<_> = room.may_import.iter().filter(|below| !done.contains(**below)).collect();
        assert!(undone.is_empty(), "{} imports nothing of {undone:?}: take it off the map", room.name);
    }
}

#[test]
fn a_drawing_is_read() {
    let (rooms, arrows) = read("a -> { b -> c, d }\n  -> e");
    assert_eq!(rooms, ["a", "b", "c", "d", "e"]);
    let arrows: Vec<_> = arrows.iter().map(|(above, below)| format!("{above}{below}")).collect();
    assert_eq!(arrows, ["ab", "ac", "ad", "ae", "bc", "be", "ce", "de"]);
}
