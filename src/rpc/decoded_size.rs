//! Owns how much a large message takes once it is decoded, found out before it is: two bytes of it can stand for a message of hundreds.

use prost::{bytes::Buf, decode_length_delimiter};
use prost_reflect::{Kind, MessageDescriptor};

use crate::model::Error;

/// How much a message may take, in bytes: some ten thousand things with what belongs to them.
const MAX_BYTES: usize = 6 * 1_024 * 1_024;

/// What a message takes of itself, and what any other field does: those of a manifest are smaller.
const MESSAGE_BYTES: usize = 320;
const FIELD_BYTES: usize = 24;

/// Succeeds if the encoded `message`, which is an `input`, takes no more than may be when it is decoded.
///
/// # Errors
/// [`Error::ManifestRefused`] if it takes more; [`Error::MalformedRequest`] if that cannot be counted.
pub(super) fn must_be_light(message: &[u8], input: &MessageDescriptor) -> Result<(), Error> {
    let mut left = MAX_BYTES;
    match spend(message, input, &mut left) {
        Some(()) => Ok(()),
        None if left == 0 => {
            let problem = "it names more than is read at once: first apply a part of it";
            Err(Error::ManifestRefused(vec![problem.to_owned()]))
        }
        // A decoder may understand more than is counted here, such as groups: what is not counted is not decoded.
        None => {
            Err(Error::MalformedRequest("it is no message, or has groups, which no client sends".to_owned()))
        }
    }
}

/// Takes what `message` takes from what is `left`. None if there is nothing left then, or if it is no message.
fn spend(mut message: &[u8], of: &MessageDescriptor, left: &mut usize) -> Option<()> {
    while message.has_remaining() {
        let key = u32::try_from(decode_length_delimiter(&mut message).ok()?).ok()?;
        let length = match key & 7 {
            0 => {
                // A number of up to ten bytes.
                let end = message.iter().position(|byte| *byte < 0x80)?;
                end + 1
            }
            1 => 8,
            2 => decode_length_delimiter(&mut message).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = message.split_at_checked(length)?;
        message = rest;
        let inner = of.get_field(key >> 3).map(|field| field.kind());
        let takes = match &inner {
            Some(Kind::Message(_)) => MESSAGE_BYTES,
            // What is not known is not kept.
            None => 0,
            Some(_) => FIELD_BYTES + length,
        };
        *left = left.saturating_sub(takes);
        if *left == 0 {
            return None;
        }
        if let Some(Kind::Message(inner)) = inner {
            spend(value, &inner, left)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::proto::{
        DESCRIPTOR_SET,
        identity::admin::v1::{ApplyManifestRequest, Manifest, manifest::Binding},
    };

    fn judged(message: &[u8]) -> Result<(), Error> {
        let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
        let input = pool.get_message_by_name("identity.admin.v1.ApplyManifestRequest").unwrap();
        must_be_light(message, &input)
    }

    fn request(count: usize, binding: &Binding) -> Vec<u8> {
        let manifest = Manifest { bindings: vec![binding.clone(); count], ..Manifest::default() };
        ApplyManifestRequest { manifest: Some(manifest), ..ApplyManifestRequest::default() }.encode_to_vec()
    }

    #[test]
    fn few_bytes_that_become_many_are_refused_and_ordinary_manifests_are_not() {
        let ordinary = Binding {
            role: "picker".to_owned(),
            audience: Some("stock".to_owned()),
            client: Some("billing".to_owned()),
            ..Binding::default()
        };
        assert!(judged(&request(12_000, &ordinary)).is_ok());
        let heavy = request(1_000_000, &Binding::default());
        assert!(heavy.len() < 4 << 20 && judged(&heavy).is_err());
        assert!(judged(&[]).is_ok());
        // What is not counted is not decoded: an empty group of an unknown field before the rest, as a decoder passes it over.
        let hidden = [&[0xa3, 0x06, 0xa4, 0x06][..], &heavy].concat();
        for uncounted in [&[0xff; 64][..], &[0x0a, 0x7f], &[0x0b], &[0x0b, 0x0c], &hidden] {
            assert!(matches!(judged(uncounted), Err(Error::MalformedRequest(_))));
        }
    }
}
