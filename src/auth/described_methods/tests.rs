//! Owns what reading a descriptor set promises: what it says, whom it comes from notwithstanding.

use super::*;
use crate::{
    auth::Policy,
    proto::{DESCRIPTOR_SET, described},
};

fn read(set: &[u8]) -> Result<DescribedMethods, DescribedMethodsError> {
    DescribedMethods::read(set, WantedMethods::ALL)
}

#[test]
fn it_reads_what_the_library_of_descriptors_reads() {
    let policy = Policy::from_descriptors(&described::API).unwrap();
    let read = read(DESCRIPTOR_SET).unwrap();
    assert!(read.defines_access && read.has_comments);
    assert_eq!(read.methods.len(), policy.methods().count());
    for method in &read.methods {
        assert_eq!(policy.access(&method.path), Some(&method.access), "{}", method.path);
        assert!(method.comment.is_some(), "{}", method.path);
    }
    let get_me = |path: &str| read.methods.iter().find(|method| method.path == path).unwrap();
    assert!(get_me("/identity.v1.IdentityService/GetMe").has_no_side_effects);
    assert!(!get_me("/identity.v1.IdentityService/SignUp").has_no_side_effects);
}

#[test]
fn the_reduced_set_says_the_same_of_each_method() {
    let reduced = DescribedMethods::reduced(DESCRIPTOR_SET, &[]).unwrap();
    assert!(reduced.len() < DESCRIPTOR_SET.len() / 10, "{} of {}", reduced.len(), DESCRIPTOR_SET.len());
    let whole =
        DescribedMethods::read(DESCRIPTOR_SET, WantedMethods { comments: false, ..WantedMethods::ALL })
            .unwrap();
    assert!(whole.methods.iter().all(|method| method.comment.is_none()), "none was asked for");
    let read = read(&reduced).unwrap();
    assert_eq!(read.methods, whole.methods);
    assert!(read.defines_access && !read.has_comments);
    // It is a set that others read, too.
    assert!(prost_types::FileDescriptorSet::decode(&*reduced).is_ok());
}

/// A file whose service `Stock` has a method of each name, with these options.
fn file(package: &str, methods: &[&str], options: &[u8]) -> File {
    let method = |name: &&str| Method { name: (*name).to_owned(), options: vec![options.to_vec()] };
    let service = Service { name: "Stock".to_owned(), method: methods.iter().map(method).collect() };
    File { package: package.to_owned(), service: vec![service], ..File::default() }
}

fn set(options: &[u8], number: i32) -> Vec<u8> {
    let access = Field { name: "access".to_owned(), extendee: METHOD_OPTIONS.to_owned(), number };
    let option = File { package: "identity.v1".to_owned(), extension: vec![access], ..File::default() };
    FileSet { file: vec![file("", &["Take"], options), option] }.encode_to_vec()
}

#[test]
fn the_option_is_found_by_its_name_whatever_its_number() {
    // Field 1000: `{ public: {} }`.
    let options = [0xc2, 0x3e, 2, 0x0a, 0];
    let first = |options: &[u8], number| read(&set(options, number)).unwrap().methods.remove(0);
    let found = first(&options, 1000);
    assert_eq!((found.path.as_str(), found.access), ("/Stock/Take", Access::Public));
    assert_eq!(first(&options, 1001).access, Access::Undeclared);
    // Twice: the second adds a field that nobody knows.
    let twice = [&options[..], &[0xc2, 0x3e, 2, 0x78, 1]].concat();
    assert_eq!(first(&twice, 1000).access, Access::NotUnderstood);
    // A number in the place of a message.
    assert_eq!(first(&[0xc0, 0x3e, 0], 1000).access, Access::NotUnderstood);
}

#[test]
fn what_is_no_set_or_says_two_things_is_refused() {
    assert_eq!(read(b"no set").unwrap_err(), DescribedMethodsError::NoSet);
    assert_eq!(read(&set(&[0xc2, 0x3e, 9], 1000)).unwrap_err(), DescribedMethodsError::NoSet);
    let twice = [set(&[], 1000), set(&[], 1000)].concat();
    assert_eq!(read(&twice).unwrap_err(), DescribedMethodsError::Twice("/Stock/Take".to_owned()));
    assert!(read(&[]).unwrap().methods.is_empty());
}

#[test]
fn a_method_has_a_name_that_protobuf_knows_and_that_can_be_shown_in_a_line() {
    let of = |package: &str, method: &str| {
        let set = FileSet { file: vec![file(package, &["A", method], &[])] };
        read(&set.encode_to_vec()).map(|read| read.methods.len())
    };
    assert_eq!(of("stock.v1", "_Take2"), Ok(2));
    for name in ["", "A\0", "A ", "A\nok: nothing is wrong", "\x1b[2J", "A?b", "A/B", "2A", "Ä", "a.b"] {
        let refused = of("stock.v1", name).unwrap_err();
        assert!(matches!(refused, DescribedMethodsError::NoName(_)), "{name:?}: {refused:?}");
        let told = refused.to_string();
        assert!(!told.contains(char::is_control) && told.len() < 300, "{told}");
    }
    for package in ["stock..v1", ".stock", "stock.", "st ock", "1.v1"] {
        assert!(matches!(of(package, "B"), Err(DescribedMethodsError::NoName(_))), "{package}");
    }
    let longest = "x".repeat(METHOD_MAX_BYTES - "/stock.v1.Stock/".len());
    assert_eq!(of("stock.v1", &longest), Ok(2));
    let told = of("stock.v1", &format!("{longest}x")).unwrap_err();
    assert!(matches!(told, DescribedMethodsError::TooLong(_)) && told.to_string().len() < 200, "{told}");
}

#[test]
fn what_others_import_is_read_where_it_is_named_alone() {
    let imported = File { buf: Some(BufFile { is_import: true }), ..file("other.v1", &["Open"], &[]) };
    let set = FileSet { file: vec![file("stock.v1", &["Take"], &[]), imported] }.encode_to_vec();
    let paths = |set: &[u8], imported: &[String]| -> Vec<String> {
        let read = DescribedMethods::read(set, WantedMethods { imported, ..WantedMethods::ALL }).unwrap();
        read.methods.into_iter().map(|method| method.path).collect()
    };
    let named = ["other.v1.Stock".to_owned()];
    for (imported, expected) in [
        (&[][..], &["/stock.v1.Stock/Take"][..]),
        (&named, &["/stock.v1.Stock/Take", "/other.v1.Stock/Open"]),
    ] {
        assert_eq!(paths(&set, imported), expected);
        let reduced = DescribedMethods::reduced(&set, imported).unwrap();
        assert_eq!(paths(&reduced, imported), expected);
    }
}

#[test]
fn what_is_read_is_bounded_before_room_is_taken_for_it() {
    // Files with nothing in them, of two bytes each.
    let empty = [0x0a, 0].repeat(MAX_MESSAGES + 1);
    assert_eq!(read(&empty).unwrap_err(), DescribedMethodsError::TooLarge);
    assert!(read(&empty[2..]).unwrap().methods.is_empty());
    let methods = FileSet { file: vec![file("", &["A", "B", "C"], &[])] }.encode_to_vec();
    let most = |most| DescribedMethods::read(&methods, WantedMethods { most, ..WantedMethods::ALL });
    assert!(most(3).is_ok());
    assert_eq!(most(2).unwrap_err(), DescribedMethodsError::TooManyMethods(2));
}

#[test]
fn a_comment_is_that_of_its_method_whatever_other_places_have_comments() {
    let location = |path: &[i32], text: &str| {
        Location { path: path.to_vec(), leading_comments: text.to_owned() }.encode_to_vec()
    };
    let places = [
        location(&[], "the file"),
        location(&[6, 0], "the service"),
        location(&[6, 0, 2, 1], " of B\n"),
        location(&[6, 0, 2, 1], "again"),
        location(&[6, 0, 2, 0, 1], "a part of A"),
        location(&[6, 0, 2, -1], "of none"),
    ];
    let field = |place: &Vec<u8>| [&[0x0a, u8::try_from(place.len()).unwrap()], &place[..]].concat();
    let info: Vec<u8> = places.iter().flat_map(field).collect();
    let file = File { source_code_info: vec![info], ..file("", &["A", "B"], &[]) };
    let read = read(&FileSet { file: vec![file] }.encode_to_vec()).unwrap();
    let comments: Vec<_> = read.methods.iter().map(|method| method.comment.as_deref()).collect();
    assert_eq!(comments, [None, Some("of B")]);
}
