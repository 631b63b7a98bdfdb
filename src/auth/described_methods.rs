//! Owns what a descriptor set says of methods: their names, who may call each, and its comment. Nothing else of the set is read.
//!
//! It comes from strangers to this program, so the cost of reading it goes with its bytes alone: no type is resolved, and no option but the
//! two that matter here.

use std::collections::BTreeSet;

use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use super::declared;
use crate::{model::Access, proto::described};

/// What a file is called, whose `MethodOptions` the option extends.
const METHOD_OPTIONS: &str = ".google.protobuf.MethodOptions";

/// The package and the name of the option.
const OPTION: (&str, &str) = ("identity.v1", "access");

/// The option `idempotency_level`, and the value `NO_SIDE_EFFECTS`.
const IDEMPOTENCY_LEVEL: u32 = 34;
const NO_SIDE_EFFECTS: u64 = 1;

/// A method, as its descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMethod {
    /// The full name of its service, `stock.v1.Stock`.
    pub service: String,
    /// Its path, `/stock.v1.Stock/Reserve`.
    pub path: String,
    /// Who may call it.
    pub access: Access,
    /// Whether it has no side effects.
    pub has_no_side_effects: bool,
    /// Its comment; none if it has none, or the set was written without.
    pub comment: Option<String>,
    /// Whether its file is there since others import it, as far as `buf` tells.
    pub is_imported: bool,
}

/// The methods of a descriptor set.
#[derive(Clone, Debug, Default)]
pub struct DescribedMethods {
    /// Each, in the order of the set.
    pub methods: Vec<DescribedMethod>,
    /// Whether it defines the option that declares access: if not, no method can declare anything.
    pub defines_access: bool,
    /// Whether it has comments.
    pub has_comments: bool,
}

/// Why a set cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescribedMethodsError {
    /// It is no `FileDescriptorSet`.
    #[error("it is no encoded google.protobuf.FileDescriptorSet, as `buf build -o FILE.binpb` writes it")]
    NoSet,
    /// Two methods have one path.
    #[error("it has `{0}` more than once")]
    Twice(String),
}

impl DescribedMethods {
    /// What `set`, an encoded `google.protobuf.FileDescriptorSet`, says.
    ///
    /// # Errors
    /// If it is none, or says two things of one method.
    pub fn read(set: &[u8]) -> Result<Self, DescribedMethodsError> {
        let set = FileSet::decode(set).map_err(|_| DescribedMethodsError::NoSet)?;
        let number = set.access_number();
        let mut read = Self {
            methods: Vec::new(),
            defines_access: number.is_some(),
            has_comments: set.file.iter().any(|file| file.source_code_info.is_some()),
        };
        let mut seen = BTreeSet::new();
        for file in &set.file {
            for (at, service) in file.service.iter().enumerate() {
                let full_name = if file.package.is_empty() {
                    service.name.clone()
                } else {
                    format!("{}.{}", file.package, service.name)
                };
                for (nth, method) in service.method.iter().enumerate() {
                    let path = format!("/{full_name}/{}", method.name);
                    if !seen.insert(path.clone()) {
                        return Err(DescribedMethodsError::Twice(path));
                    }
                    let options = Options::read(&method.options.concat(), number)
                        .ok_or(DescribedMethodsError::NoSet)?;
                    read.methods.push(DescribedMethod {
                        service: full_name.clone(),
                        path,
                        access: options.access.as_deref().map_or(Access::Undeclared, declared::read),
                        has_no_side_effects: options.idempotency_level == NO_SIDE_EFFECTS,
                        comment: file.comment(at, nth),
                        is_imported: file.buf.as_ref().is_some_and(|buf| buf.is_import),
                    });
                }
            }
        }
        Ok(read)
    }

    /// The methods of `service`, which this program serves itself and knows: health, or reflection.
    #[must_use]
    pub fn of_own(service: &str) -> Vec<String> {
        let described = [&described::HEALTH, &described::REFLECTION_V1, &described::REFLECTION_V1ALPHA];
        let found = described.iter().find_map(|pool| pool.get_service_by_name(service));
        let methods = found.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.map(|method| format!("/{service}/{}", method.name())).collect()
    }

    /// The same set with what [`Self::read`] reads of it alone, comments aside: some hundred bytes for each method.
    ///
    /// # Errors
    /// As with [`Self::read`].
    pub fn reduced(set: &[u8]) -> Result<Vec<u8>, DescribedMethodsError> {
        let mut set = FileSet::decode(set).map_err(|_| DescribedMethodsError::NoSet)?;
        for file in &mut set.file {
            file.source_code_info = None;
            let is_the_option = |field: &Field| file.package == OPTION.0 && field.is_access();
            file.extension.retain(is_the_option);
        }
        set.file.retain(|file| !file.service.is_empty() || !file.extension.is_empty());
        Ok(set.encode_to_vec())
    }
}

// ===== what is read of descriptors, by the numbers of google/protobuf/descriptor.proto =====

#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    service: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    extension: Vec<Field>,
    #[prost(message, optional, tag = "9")]
    source_code_info: Option<SourceCodeInfo>,
    /// What `buf build` adds.
    #[prost(message, optional, tag = "8042")]
    buf: Option<BufFile>,
}

#[derive(Clone, PartialEq, Message)]
struct BufFile {
    #[prost(bool, tag = "1")]
    is_import: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<Method>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    /// As bytes, since custom options are no fields that this program knows by their numbers. What comes more than once is merged.
    #[prost(bytes = "vec", repeated, tag = "4")]
    options: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    extendee: String,
    #[prost(int32, tag = "3")]
    number: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SourceCodeInfo {
    #[prost(message, repeated, tag = "1")]
    location: Vec<Location>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(int32, repeated, tag = "1")]
    path: Vec<i32>,
    #[prost(string, tag = "3")]
    leading_comments: String,
}

/// What matters of the options of a method.
#[derive(Default)]
struct Options {
    /// The bytes of the `Access`; none if the option is not set.
    access: Option<Vec<u8>>,
    idempotency_level: u64,
}

impl FileSet {
    /// The number of the option, by its name: protobuf's registry may give another one than it has now.
    fn access_number(&self) -> Option<u32> {
        let of_package = self.file.iter().filter(|file| file.package == OPTION.0);
        let field = of_package.flat_map(|file| &file.extension).find(|field| field.is_access())?;
        u32::try_from(field.number).ok()
    }
}

impl Field {
    fn is_access(&self) -> bool {
        self.name == OPTION.1 && self.extendee == METHOD_OPTIONS
    }
}

impl File {
    /// The comment before the `method`th method of the `service`th service.
    fn comment(&self, service: usize, method: usize) -> Option<String> {
        let index = |at: usize| i32::try_from(at).ok();
        let path = [6, index(service)?, 2, index(method)?];
        let found = self.source_code_info.as_ref()?.location.iter().find(|location| location.path == path)?;
        let text = found.leading_comments.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl Options {
    /// What `encoded`, a `google.protobuf.MethodOptions`, says by the option of the `number`; none if it is no message.
    fn read(mut encoded: &[u8], number: Option<u32>) -> Option<Self> {
        let mut options = Self::default();
        let encoded = &mut encoded;
        while !encoded.is_empty() {
            let (tag, wire_type) = decode_key(encoded).ok()?;
            match wire_type {
                WireType::LengthDelimited if Some(tag) == number => {
                    let length = usize::try_from(decode_varint(encoded).ok()?).ok()?;
                    let (value, rest) = encoded.split_at_checked(length)?;
                    // Said more than once, it is merged, which is to read the one behind the other.
                    options.access.get_or_insert_default().extend_from_slice(value);
                    *encoded = rest;
                }
                // The option with a value that is no message: it is there, and not understood.
                _ if Some(tag) == number => {
                    skip_field(wire_type, tag, encoded, DecodeContext::default()).ok()?;
                    options.access.get_or_insert_default().push(u8::MAX);
                }
                WireType::Varint if tag == IDEMPOTENCY_LEVEL => {
                    options.idempotency_level = decode_varint(encoded).ok()?;
                }
                _ => skip_field(wire_type, tag, encoded, DecodeContext::default()).ok()?,
            }
        }
        Some(options)
    }
}

/// What is reduced says of each method what the whole says, and nothing that is not a set has methods.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(whole) = DescribedMethods::read(bytes) else { return };
    let reduced = DescribedMethods::reduced(bytes).expect("it was read");
    let read = DescribedMethods::read(&reduced).expect("it is a set again");
    assert_eq!(read.defines_access, whole.defines_access);
    let without_comment = |method: DescribedMethod| DescribedMethod { comment: None, ..method };
    assert!(read.methods.into_iter().eq(whole.methods.into_iter().map(without_comment)), "they say the same");
}

/// Sets for the tests of rooms that read what is pushed, and know no proto.
#[cfg(test)]
pub(crate) const EXAMPLES: (&[u8], &[u8]) =
    (crate::proto::DESCRIPTOR_SET, crate::proto::HEALTH_DESCRIPTOR_SET);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::Policy, proto::DESCRIPTOR_SET};

    #[test]
    fn it_reads_what_the_library_of_descriptors_reads() {
        let policy = Policy::from_descriptor_set(DESCRIPTOR_SET).unwrap();
        let read = DescribedMethods::read(DESCRIPTOR_SET).unwrap();
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
        let reduced = DescribedMethods::reduced(DESCRIPTOR_SET).unwrap();
        assert!(reduced.len() < DESCRIPTOR_SET.len() / 10, "{} of {}", reduced.len(), DESCRIPTOR_SET.len());
        let without_comment = |method: DescribedMethod| DescribedMethod { comment: None, ..method };
        let whole: Vec<_> = DescribedMethods::read(DESCRIPTOR_SET)
            .unwrap()
            .methods
            .into_iter()
            .map(without_comment)
            .collect();
        let read = DescribedMethods::read(&reduced).unwrap();
        assert_eq!(read.methods, whole);
        assert!(read.defines_access && !read.has_comments);
        // It is a set that others read, too.
        assert!(prost_types::FileDescriptorSet::decode(&*reduced).is_ok());
    }

    fn set(options: Vec<u8>, number: i32) -> Vec<u8> {
        let method = Method { name: "Take".to_owned(), options: vec![options] };
        let access = Field { name: "access".to_owned(), extendee: METHOD_OPTIONS.to_owned(), number };
        let option = File { package: "identity.v1".to_owned(), extension: vec![access], ..File::default() };
        let service = Service { name: "Stock".to_owned(), method: vec![method] };
        let own = File { service: vec![service], ..File::default() };
        FileSet { file: vec![own, option] }.encode_to_vec()
    }

    #[test]
    fn the_option_is_found_by_its_name_whatever_its_number() {
        // Field 1000: `{ public: {} }`.
        let options = vec![0xc2, 0x3e, 2, 0x0a, 0];
        let read = |number| DescribedMethods::read(&set(options.clone(), number)).unwrap().methods.remove(0);
        assert_eq!((read(1000).path.as_str(), read(1000).access), ("/Stock/Take", Access::Public));
        assert_eq!(read(1001).access, Access::Undeclared);
        // Twice: the second adds a field that nobody knows.
        let twice = [options.clone(), vec![0xc2, 0x3e, 2, 0x78, 1]].concat();
        let read = DescribedMethods::read(&set(twice, 1000)).unwrap().methods.remove(0);
        assert_eq!(read.access, Access::NotUnderstood);
        // A number in the place of a message.
        let read = DescribedMethods::read(&set(vec![0xc0, 0x3e, 0], 1000)).unwrap().methods.remove(0);
        assert_eq!(read.access, Access::NotUnderstood);
    }

    #[test]
    fn what_is_no_set_or_says_two_things_is_refused() {
        assert_eq!(DescribedMethods::read(b"no set").unwrap_err(), DescribedMethodsError::NoSet);
        assert_eq!(
            DescribedMethods::read(&set(vec![0xc2, 0x3e, 9], 1000)).unwrap_err(),
            DescribedMethodsError::NoSet
        );
        let twice = [set(Vec::new(), 1000), set(Vec::new(), 1000)].concat();
        assert_eq!(
            DescribedMethods::read(&twice).unwrap_err(),
            DescribedMethodsError::Twice("/Stock/Take".to_owned())
        );
        assert!(DescribedMethods::read(&[]).unwrap().methods.is_empty());
    }
}
