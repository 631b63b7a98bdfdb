//! Owns what a descriptor set says of methods: their names, who may call each, and its comment. Nothing else of the set is read.
//!
//! It comes from strangers to this program, so the cost of reading it goes with its bytes alone: no type is resolved, no option but the
//! two that matter here is read, and no comment unless it is asked for. Names are those that protobuf has: they are shown line by line.

use std::collections::{BTreeSet, HashMap};

use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use super::declared;
use crate::model::{Access, access_rule::METHOD_MAX_BYTES};
#[cfg(feature = "server")]
use crate::proto::described;

/// What a file is called, whose `MethodOptions` the option extends.
const METHOD_OPTIONS: &str = ".google.protobuf.MethodOptions";

/// The package and the name of the option.
const OPTION: (&str, &str) = ("identity.v1", "access");

/// The option `idempotency_level`, and the value `NO_SIDE_EFFECTS`.
const IDEMPOTENCY_LEVEL: u32 = 34;
const NO_SIDE_EFFECTS: u64 = 1;

/// How many messages a set may have that are read: an image of ten thousand protos has some. Each takes more room than its bytes.
const MAX_MESSAGES: usize = 200_000;

/// The longest location of a comment that is read, in bytes.
const LOCATION_MAX_BYTES: usize = 1_024 * 1_024;

/// How many bytes of a name are told that is none.
const TOLD_BYTES: usize = 80;

/// Which methods of a set are read, and what of them.
#[derive(Clone, Copy, Debug)]
pub struct WantedMethods<'a> {
    /// Services that are read though their file is there since others import it, as far as `buf` tells.
    pub imported: &'a [String],
    /// How many methods there may be.
    pub most: usize,
    /// Whether their comments are read.
    pub comments: bool,
}

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
    /// Its comment; none if it has none, the set was written without, or none was asked for.
    pub comment: Option<String>,
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
    /// It has too many messages to be read.
    #[error(
        "it has more than {MAX_MESSAGES} files, services, methods and extensions: build it of fewer protos"
    )]
    TooLarge,
    /// It has more methods than there may be.
    #[error("it has more than {0} methods")]
    TooManyMethods(usize),
    /// A package, a service or a method has no name that protobuf knows. The beginning of the path, with what could steer a terminal
    /// escaped.
    #[error("`{0}` is no path of a method: names are letters, digits and `_`, and do not begin with a digit")]
    NoName(String),
    /// The path of a method is too long; its beginning.
    #[error("`{0}...` is too long: the path of a method has at most {METHOD_MAX_BYTES} bytes")]
    TooLong(String),
    /// Two methods have one path.
    #[error("it has `{0}` more than once")]
    Twice(String),
}

impl DescribedMethods {
    /// What `set`, an encoded `google.protobuf.FileDescriptorSet`, says of what is `wanted`.
    ///
    /// # Errors
    /// If it is none, is too large, has names that are none, or says two things of one method.
    pub fn read(set: &[u8], wanted: WantedMethods<'_>) -> Result<Self, DescribedMethodsError> {
        let set = FileSet::read(set)?;
        let number = set.access_number();
        let mut read = Self {
            methods: Vec::new(),
            defines_access: number.is_some(),
            has_comments: set.file.iter().any(|file| !file.source_code_info.is_empty()),
        };
        let mut seen = BTreeSet::new();
        for file in &set.file {
            // Before it is put before the name of each service.
            if file.package.len() > METHOD_MAX_BYTES && !file.service.is_empty() {
                return Err(DescribedMethodsError::TooLong(beginning(&file.package)));
            }
            let mut comments = if wanted.comments { file.comments()? } else { HashMap::new() };
            for (at, service) in file.service.iter().enumerate() {
                let full_name = file.full_name(service);
                if !file.is_wanted(&full_name, wanted.imported) {
                    continue;
                }
                for (nth, method) in service.method.iter().enumerate() {
                    let path = path_of(&file.package, &service.name, &method.name)?;
                    if read.methods.len() == wanted.most {
                        return Err(DescribedMethodsError::TooManyMethods(wanted.most));
                    }
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
                        comment: comments.remove(&(at, nth)),
                    });
                }
            }
        }
        Ok(read)
    }

    /// The methods of `service`, which this program serves itself and knows: health, or reflection.
    #[cfg(feature = "server")]
    #[must_use]
    pub fn of_own(service: &str) -> Vec<String> {
        let described = [&described::HEALTH, &described::REFLECTION_V1, &described::REFLECTION_V1ALPHA];
        let found = described.iter().find_map(|pool| pool.get_service_by_name(service));
        let methods = found.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.map(|method| format!("/{service}/{}", method.name())).collect()
    }

    /// The same set with what [`Self::read`] reads of it alone, comments aside: some hundred bytes for each method. Of files that others
    /// import it keeps the services that `imported` names.
    ///
    /// # Errors
    /// If it is no set, or too large.
    pub fn reduced(set: &[u8], imported: &[String]) -> Result<Vec<u8>, DescribedMethodsError> {
        let mut set = FileSet::read(set)?;
        for file in &mut set.file {
            file.source_code_info.clear();
            let is_the_option = |field: &Field| file.package == OPTION.0 && field.is_access();
            file.extension.retain(is_the_option);
            let services = std::mem::take(&mut file.service);
            let is_wanted = |service: &Service| file.is_wanted(&file.full_name(service), imported);
            file.service = services.into_iter().filter(is_wanted).collect();
        }
        set.file.retain(|file| !file.service.is_empty() || !file.extension.is_empty());
        Ok(set.encode_to_vec())
    }
}

/// What is told of `text`, which may have anything in it.
fn beginning(text: &str) -> String {
    text[..text.floor_char_boundary(TOLD_BYTES)].escape_debug().to_string()
}

/// The path of a method, if its names are those that protobuf has, and it is not too long.
fn path_of(package: &str, service: &str, method: &str) -> Result<String, DescribedMethodsError> {
    let is_name = |name: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        name.bytes().next().is_some_and(is_letter)
            && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
    };
    let dot = if package.is_empty() { "" } else { "." };
    let path = format!("/{package}{dot}{service}/{method}");
    let are_names =
        (package.is_empty() || package.split('.').all(is_name)) && is_name(service) && is_name(method);
    if !are_names {
        return Err(DescribedMethodsError::NoName(beginning(&path)));
    }
    if path.len() > METHOD_MAX_BYTES {
        return Err(DescribedMethodsError::TooLong(beginning(&path)));
    }
    Ok(path)
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
    /// As bytes, since who asks for no comment does not read them. What comes more than once is merged.
    #[prost(bytes = "vec", repeated, tag = "9")]
    source_code_info: Vec<Vec<u8>>,
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

/// One of a `SourceCodeInfo`, which has them as its field 1.
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
    /// The set that is `encoded`, if it has not too many messages: they are counted before room is taken for them.
    fn read(encoded: &[u8]) -> Result<Self, DescribedMethodsError> {
        let mut left = MAX_MESSAGES;
        Nested::OF_SET.count(encoded, &mut left)?;
        Self::decode(encoded).map_err(|_| DescribedMethodsError::NoSet)
    }

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
    fn full_name(&self, service: &Service) -> String {
        match &*self.package {
            "" => service.name.clone(),
            package => format!("{package}.{}", service.name),
        }
    }

    /// Whether the service is read: what others have written, and this service need not serve, only if `imported` names it.
    fn is_wanted(&self, service: &str, imported: &[String]) -> bool {
        let is_import = self.buf.as_ref().is_some_and(|buf| buf.is_import);
        !is_import || imported.iter().any(|name| name == service)
    }

    /// The comments before methods, by the places of the service and of the method in it.
    fn comments(&self) -> Result<HashMap<(usize, usize), String>, DescribedMethodsError> {
        let mut comments = HashMap::new();
        for info in &self.source_code_info {
            each_field(info, &mut |tag, location| {
                if tag != 1 || location.len() > LOCATION_MAX_BYTES {
                    return Ok(());
                }
                let location = Location::decode(location).map_err(|_| DescribedMethodsError::NoSet)?;
                let [6, service, 2, method] = location.path[..] else { return Ok(()) };
                let place = usize::try_from(service).ok().zip(usize::try_from(method).ok());
                let text = location.leading_comments.trim();
                if let Some(place) = place.filter(|_| !text.is_empty()) {
                    comments.entry(place).or_insert_with(|| text.to_owned());
                }
                Ok(())
            })?;
        }
        Ok(comments)
    }
}

/// Which fields of a message have messages that are read, or take as much room, with what is in those.
struct Nested(&'static [(u32, Self)]);

impl Nested {
    const LEAF: Self = Self(&[]);
    const OF_METHOD: Self = Self(&[(4, Self::LEAF)]);
    const OF_SERVICE: Self = Self(&[(2, Self::OF_METHOD)]);
    const OF_FILE: Self =
        Self(&[(6, Self::OF_SERVICE), (7, Self::LEAF), (9, Self::LEAF), (8_042, Self::LEAF)]);
    const OF_SET: Self = Self(&[(1, Self::OF_FILE)]);

    /// Takes from `left` how many messages `encoded` has.
    fn count(&self, encoded: &[u8], left: &mut usize) -> Result<(), DescribedMethodsError> {
        if self.0.is_empty() {
            return Ok(());
        }
        each_field(encoded, &mut |tag, value| {
            let Some((_, nested)) = self.0.iter().find(|(known, _)| *known == tag) else { return Ok(()) };
            *left = left.checked_sub(1).ok_or(DescribedMethodsError::TooLarge)?;
            nested.count(value, left)
        })
    }
}

/// Takes the number and the bytes of a field.
type OnField<'f> = dyn FnMut(u32, &[u8]) -> Result<(), DescribedMethodsError> + 'f;

/// Hands `each` the number and the bytes of each field of the message `encoded` that has a length.
fn each_field(mut encoded: &[u8], each: &mut OnField<'_>) -> Result<(), DescribedMethodsError> {
    let encoded = &mut encoded;
    while !encoded.is_empty() {
        let (tag, wire_type) = decode_key(encoded).map_err(|_| DescribedMethodsError::NoSet)?;
        if wire_type == WireType::LengthDelimited {
            each(tag, delimited(encoded).ok_or(DescribedMethodsError::NoSet)?)?;
        } else {
            skip_field(wire_type, tag, encoded, DecodeContext::default())
                .map_err(|_| DescribedMethodsError::NoSet)?;
        }
    }
    Ok(())
}

/// The bytes of a field that has a length, which are taken from `encoded`.
fn delimited<'a>(encoded: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(encoded).ok()?).ok()?;
    let (value, rest) = encoded.split_at_checked(length)?;
    *encoded = rest;
    Some(value)
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
                    // Said more than once, it is merged, which is to read the one behind the other.
                    options.access.get_or_insert_default().extend_from_slice(delimited(encoded)?);
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

#[cfg(all(feature = "server", any(fuzzing, test)))]
impl WantedMethods<'_> {
    /// All that is no other's, with comments.
    const ALL: Self = Self { imported: &[], most: usize::MAX, comments: true };
}

/// What is reduced says of each method what the whole says, and each has a path that can be shown.
#[cfg(all(feature = "server", any(fuzzing, test)))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let Ok(whole) = DescribedMethods::read(bytes, WantedMethods::ALL) else { return };
    let reduced = DescribedMethods::reduced(bytes, &[]).expect("it was read");
    let read = DescribedMethods::read(&reduced, WantedMethods::ALL).expect("it is a set again");
    assert_eq!(read.defines_access, whole.defines_access);
    assert!(whole.methods.iter().all(|method| method.path.bytes().all(|byte| byte.is_ascii_graphic())));
    let without_comment = |method: DescribedMethod| DescribedMethod { comment: None, ..method };
    assert!(read.methods.into_iter().eq(whole.methods.into_iter().map(without_comment)), "they say the same");
}

/// Sets for the tests of rooms that read what is pushed, and know no proto.
#[cfg(all(feature = "server", test))]
pub(crate) const EXAMPLES: (&[u8], &[u8]) =
    (crate::proto::DESCRIPTOR_SET, crate::proto::HEALTH_DESCRIPTOR_SET);

#[cfg(all(feature = "server", test))]
mod tests;
