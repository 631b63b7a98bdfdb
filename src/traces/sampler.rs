//! Owns which requests are traced.

use std::str::FromStr;

use crate::base::TraceParent;

/// Which requests are traced, by the names that OpenTelemetry has for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Of those whose trace begins here.
    pub root: Root,
    /// Whether of the others those are that a trusted sender has said to be. If not, all are like roots.
    pub is_parent_based: bool,
}

/// Which requests are traced of those whose trace begins here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    /// All.
    Always,
    /// None.
    Never,
    /// This part of them, from 0 to 1.
    Ratio(f64),
}

impl Sampler {
    /// The sampler called `name`, whose part is `ratio` if it has one.
    #[must_use]
    pub fn named(name: &str, ratio: f64) -> Option<Self> {
        let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => Root::Always,
            "always_off" => Root::Never,
            "traceidratio" => Root::Ratio(ratio),
            _ => return None,
        };
        Some(Self { root, is_parent_based })
    }

    /// Whether a request of `parent` is traced. `random` are bits that nobody knows beforehand.
    ///
    /// Of a sender that is not trusted neither the flag counts nor the id: with one that it has chosen, it would choose to be traced.
    pub(super) fn takes(
        &self,
        parent: Option<&TraceParent>,
        is_trusted: bool,
        random: impl FnOnce() -> u64,
    ) -> bool {
        let believed = parent.filter(|_| is_trusted);
        match (self.root, believed) {
            (_, Some(parent)) if self.is_parent_based => parent.is_sampled,
            (Root::Always, _) => true,
            (Root::Never, _) => false,
            (Root::Ratio(ratio), Some(parent)) => {
                let mut last = [0; 8];
                last.copy_from_slice(&parent.trace_id[8..]);
                is_within(u64::from_be_bytes(last), ratio)
            }
            (Root::Ratio(ratio), None) => is_within(random(), ratio),
        }
    }
}

/// Whether `bits` are within the part `ratio` of all: by the last 63, as other implementations of `traceidratio` do.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the part is from 0 to 1, and no more exact than that"
)]
fn is_within(bits: u64, ratio: f64) -> bool {
    bits >> 1 < (ratio * (1_u64 << 63) as f64) as u64
}

/// The part of all requests that a number names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ratio(pub(crate) f64);

impl FromStr for Ratio {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let ratio: f64 = text.parse().map_err(|_| ())?;
        if (0.0..=1.0).contains(&ratio) { Ok(Self(ratio)) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(is_sampled: bool, last: u8) -> TraceParent {
        let mut trace_id = [0; 16];
        trace_id[8] = last;
        trace_id[0] = 1;
        TraceParent { trace_id, span_id: [1; 8], is_sampled }
    }

    #[test]
    fn each_name_of_opentelemetry_means_what_it_means_there() {
        for (name, root_is, kept_is, other_is) in [
            ("always_on", true, true, true),
            ("always_off", false, false, false),
            ("traceidratio", false, false, false),
            ("parentbased_always_on", true, true, false),
            ("parentbased_always_off", false, true, false),
            ("parentbased_traceidratio", false, true, false),
        ] {
            let sampler = Sampler::named(name, 0.25).unwrap();
            // Just beyond a quarter.
            let takes = |parent: Option<TraceParent>| sampler.takes(parent.as_ref(), true, || 1 << 62);
            assert_eq!(takes(None), root_is, "{name}");
            assert_eq!(takes(Some(parent(true, 0x40))), kept_is, "{name}");
            assert_eq!(takes(Some(parent(false, 0x40))), other_is, "{name}");
        }
        assert_eq!(Sampler::named("jaeger_remote", 1.0), None);
        let ratio = Sampler::named("traceidratio", 0.25).unwrap();
        assert!(ratio.takes(None, true, || (1 << 62) - 2), "just within a quarter");
        assert!(ratio.takes(Some(&parent(false, 0x3f)), true, || u64::MAX), "by its id, and not at random");
        assert!(Sampler::named("traceidratio", 1.0).unwrap().takes(None, true, || u64::MAX));
        assert!(!Sampler::named("traceidratio", 0.0).unwrap().takes(None, true, || 0));
    }

    #[test]
    fn a_stranger_chooses_neither_by_the_flag_nor_by_the_id() {
        for name in ["traceidratio", "parentbased_traceidratio"] {
            let sampler = Sampler::named(name, 0.01).unwrap();
            let chosen = parent(true, 0);
            assert!(sampler.takes(Some(&chosen), true, || u64::MAX), "{name}: a proxy does");
            assert!(!sampler.takes(Some(&chosen), false, || u64::MAX), "{name}");
            assert!(sampler.takes(Some(&parent(false, 0xff)), false, || 0), "{name}");
        }
    }

    #[test]
    fn a_part_is_a_number_from_0_to_1() {
        assert_eq!("0.25".parse(), Ok(Ratio(0.25)));
        for bad in ["", "-0.1", "1.1", "NaN", "many"] {
            assert_eq!(bad.parse::<Ratio>(), Err(()), "{bad}");
        }
    }
}
