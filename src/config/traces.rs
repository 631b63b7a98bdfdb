//! Owns the settings of traces: the one flag, and the variables that OpenTelemetry has for every service.

use std::{borrow::Cow, collections::BTreeMap, ffi::OsString, path::Path, time::Duration};

use clap::Args;
use http::{
    HeaderName, HeaderValue, Uri,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING},
};
use percent_encoding::percent_decode_str;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;
use crate::{
    files::read_text,
    traces::{Protocol, Ratio, Resource, Root, Sampler, TraceSettings},
};

/// What the variables of OpenTelemetry begin with.
const PREFIX: &str = "OTEL_";

/// Those that are read for all of a service, or for its exporter alone.
const READ: [&str; 5] = [
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
];

/// How the names of those end that the exporter has, of traces and of everything.
const READ_BY_EXPORTER: [&str; 5] = ["ENDPOINT", "PROTOCOL", "HEADERS", "TIMEOUT", "CERTIFICATE"];
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_";
const OF_ALL: &str = "OTEL_EXPORTER_OTLP_";

/// Which requests are traced if nothing says so.
const SAMPLER: Sampler = Sampler { root: Root::Ratio(0.01), is_parent_based: true };

/// How long a request to the collector may take if nothing says so.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that it may take.
const MAX_TIMEOUT: Duration = Duration::from_mins(1);

/// The port that OTLP has over gRPC.
const GRPC_PORT: u16 = 4_317;

/// How many headers and attributes one variable may have.
const MAX_PAIRS: usize = 64;

/// Where traces go.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Traces")]
pub struct TraceConfig {
    /// The OpenTelemetry collector that traces go to, such as `http://127.0.0.1:4317`; without it, or `OTEL_EXPORTER_OTLP_ENDPOINT`, none
    /// leave. `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and the other variables of the exporter count, too.
    // Whoever puts a password into it is refused, and the refusal must not show it: neither clap's, nor anybody's.
    #[arg(long, env = "SIGNET_OTLP_ENDPOINT", global = true, value_name = "URL", hide_env_values = true)]
    pub otlp_endpoint: Option<SecretString>,

    #[arg(skip)]
    #[allow(missing_docs, reason = "clap would show the text as help")]
    pub variables: OpenTelemetryVariables,
}

/// The variables that begin with `OTEL_` and are not empty.
#[derive(Clone, Default)]
pub struct OpenTelemetryVariables(BTreeMap<String, String>);

/// What is to be done about traces.
#[derive(Debug, Default)]
pub struct TracePlan {
    /// None if no traces leave.
    pub settings: Option<TraceSettings>,
    /// What they are of.
    pub resource: Resource,
    /// The variables that are not read.
    pub not_read: Vec<String>,
    /// The variables that cannot be used, with what is wrong.
    pub problems: Vec<(String, String)>,
}

/// A variable that cannot be used.
type Problem = (String, String);

impl std::fmt::Debug for OpenTelemetryVariables {
    /// Their values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl OpenTelemetryVariables {
    /// Those among `variables`.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        // What is not UTF-8 is no value of any of them, and must not count as unset without a word.
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        let ours = |(name, value): &(String, String)| name.starts_with(PREFIX) && !value.trim().is_empty();
        Self(variables.into_iter().filter_map(text).filter(ours).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// What the exporter's variables that end with `end` say: that of traces, or else that of everything; with their names.
    fn exporter(&self, end: &str) -> impl Iterator<Item = (String, &str)> {
        [OF_TRACES, OF_ALL].into_iter().filter_map(move |begin| {
            let name = format!("{begin}{end}");
            let value = self.get(&name)?;
            Some((name, value))
        })
    }

    /// The first of them that `read` can read. The others before it are `problems`.
    fn readable<T>(
        &self,
        end: &str,
        problems: &mut Vec<Problem>,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        self.exporter(end).find_map(|(name, value)| {
            read(value).map_err(|problem| problems.push((name, problem.to_owned()))).ok()
        })
    }

    fn not_read(&self) -> Vec<String> {
        let is_exporters = |name: &str| {
            let end = name.strip_prefix(OF_TRACES).or_else(|| name.strip_prefix(OF_ALL));
            end.is_some_and(|end| READ_BY_EXPORTER.contains(&end))
        };
        let not_read = self.0.keys().filter(|name| !READ.contains(&name.as_str()) && !is_exporters(name));
        not_read.cloned().collect()
    }
}

impl TraceConfig {
    /// What is to be done. As OpenTelemetry has it, a variable that cannot be used counts as unset; but without the endpoint or the
    /// authorities that it should have named, no traces leave.
    ///
    /// # Errors
    /// If the endpoint that Signet's own setting names cannot be used.
    pub fn plan(&self) -> Result<TracePlan, ConfigError> {
        let variables = &self.variables;
        let flag = self.otlp_endpoint.as_ref().map(|url| endpoint(url.expose_secret())).transpose();
        let flag = flag.map_err(|problem| ConfigError::new("--otlp-endpoint", problem))?;
        let mut problems = Vec::new();
        match variables.get("OTEL_SDK_DISABLED") {
            Some(value) if value.eq_ignore_ascii_case("true") => return Ok(TracePlan::default()),
            Some(value) if !value.eq_ignore_ascii_case("false") => {
                problems.push(("OTEL_SDK_DISABLED".to_owned(), "must be `true` or `false`".to_owned()));
            }
            _ => {}
        }
        let resource = resource(variables, &mut problems);
        let settings = settings(variables, flag, &mut problems).unwrap_or_else(|(name, problem)| {
            problems.push((name, format!("{problem}; no traces leave")));
            None
        });
        Ok(TracePlan { settings, resource, not_read: variables.not_read(), problems })
    }
}

/// Where traces go, and which: to `flag` if it is set.
fn settings(
    variables: &OpenTelemetryVariables,
    flag: Option<Uri>,
    problems: &mut Vec<Problem>,
) -> Result<Option<TraceSettings>, Problem> {
    let protocol = variables.readable("PROTOCOL", problems, protocol);
    // What is said of traces alone is where they go; what is said of everything is where each signal has a path.
    let (base, is_whole) = match (flag, variables.exporter("ENDPOINT").next()) {
        (Some(flag), _) => (flag, false),
        (None, Some((name, value))) => {
            let is_whole = name.starts_with(OF_TRACES);
            (endpoint(value).map_err(|problem| (name, problem.to_owned()))?, is_whole)
        }
        (None, None) => return Ok(None),
    };
    let is_grpc = base.port_u16() == Some(GRPC_PORT);
    let protocol = protocol.unwrap_or(if is_grpc { Protocol::Grpc } else { Protocol::Http });
    let endpoint = if protocol == Protocol::Http && !is_whole { of_traces(&base) } else { base };
    let roots = match variables.exporter("CERTIFICATE").next() {
        Some((name, file)) => Some(roots(Path::new(file)).map_err(|problem| (name, problem))?),
        None => None,
    };
    Ok(Some(TraceSettings {
        endpoint,
        protocol,
        headers: variables.readable("HEADERS", problems, headers).unwrap_or_default(),
        timeout: variables.readable("TIMEOUT", problems, request_timeout).unwrap_or(TIMEOUT),
        roots,
        sampler: sampler(variables, problems),
    }))
}

fn protocol(text: &str) -> Result<Protocol, &'static str> {
    match text {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::Http),
        _ => Err("must be `grpc` or `http/protobuf`"),
    }
}

fn request_timeout(text: &str) -> Result<Duration, &'static str> {
    let timeout = text.parse().ok().map(Duration::from_millis);
    let timeout = timeout.filter(|timeout| !timeout.is_zero() && *timeout <= MAX_TIMEOUT);
    timeout.ok_or("must be milliseconds, from 1 to 60000")
}

/// Which requests are traced.
fn sampler(variables: &OpenTelemetryVariables, problems: &mut Vec<Problem>) -> Sampler {
    let ratio = variables.get("OTEL_TRACES_SAMPLER_ARG").and_then(|value| {
        let ratio = value.parse::<Ratio>().ok();
        if ratio.is_none() {
            problems.push(("OTEL_TRACES_SAMPLER_ARG".to_owned(), "must be a number from 0 to 1".to_owned()));
        }
        ratio.map(|Ratio(ratio)| ratio)
    });
    let named = variables.get("OTEL_TRACES_SAMPLER").and_then(|name| {
        // Where it is named without its part, OpenTelemetry takes all.
        let sampler = Sampler::named(name, ratio.unwrap_or(1.0));
        if sampler.is_none() {
            let problem =
                "must be always_on, always_off or traceidratio, or one of these behind `parentbased_`";
            problems.push(("OTEL_TRACES_SAMPLER".to_owned(), problem.to_owned()));
        }
        sampler
    });
    named.unwrap_or_else(|| Sampler { root: ratio.map_or(SAMPLER.root, Root::Ratio), ..SAMPLER })
}

/// What the variables say that traces are of.
fn resource(variables: &OpenTelemetryVariables, problems: &mut Vec<Problem>) -> Resource {
    let mut resource = Resource::default();
    if let Some(name) = variables.get("OTEL_SERVICE_NAME") {
        resource = resource.or("service.name", name);
    }
    if let Some(text) = variables.get("OTEL_RESOURCE_ATTRIBUTES") {
        match pairs(text) {
            Some(pairs) => {
                resource = pairs.into_iter().fold(resource, |all, (name, value)| all.or(&name, value));
            }
            None => problems.push(("OTEL_RESOURCE_ATTRIBUTES".to_owned(), PAIRS.to_owned())),
        }
    }
    resource.or("service.name", "signet")
}

/// What must be where there are names and values.
const PAIRS: &str = "must be `name=value,name=value`, at most 64, with `%2C` for a comma and `%3D` for `=`";

/// The names and values in `text`, percent-decoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(Cow::into_owned);
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name).filter(|name| !name.is_empty())?, decoded(value)?))
    });
    let pairs = pairs.take(MAX_PAIRS + 1).collect::<Option<Vec<_>>>()?;
    (pairs.len() <= MAX_PAIRS).then_some(pairs)
}

/// What says how a request is read, and is Signet's own to say.
const OF_THE_REQUEST: [HeaderName; 6] =
    [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRANSFER_ENCODING];

/// The headers in `text`. They are kept out of whatever shows them: they may be secrets.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, &'static str> {
    let pairs = pairs(text).ok_or(PAIRS)?;
    let header = |(name, value): (String, String)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        let name = HeaderName::try_from(name).ok()?;
        let is_ours = name.as_str().starts_with("grpc-") || OF_THE_REQUEST.contains(&name);
        (!is_ours).then_some((name, value))
    };
    pairs
        .into_iter()
        .map(header)
        .collect::<Option<_>>()
        .ok_or("must have names and values that headers may have, and none that says how the request is read")
}

/// A collector's URL.
fn endpoint(text: &str) -> Result<Uri, &'static str> {
    let problem = "must be an http or https URL such as `http://127.0.0.1:4317`, without a user and a query";
    let uri: Uri = text.parse().map_err(|_| problem)?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_plain = uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
    if is_web && is_plain { Ok(uri) } else { Err(problem) }
}

/// Where traces go below `base`.
fn of_traces(base: &Uri) -> Uri {
    let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
    let mut parts = base.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

/// The authorities in `file`.
fn roots(file: &Path) -> Result<RootCertStore, String> {
    let text = read_text(file).map_err(|problem| format!("cannot be read: {problem}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|problem| format!("is not PEM: {problem}"))?;
        roots.add(certificate).map_err(|problem| format!("cannot be used: {problem}"))?;
    }
    if roots.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(flag: Option<&str>, variables: &[(&str, &str)]) -> TracePlan {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        let variables = OpenTelemetryVariables::of(variables);
        TraceConfig { otlp_endpoint: flag.map(SecretString::from), variables }.plan().unwrap()
    }

    /// Where traces go, and by what.
    fn goes(flag: Option<&str>, variables: &[(&str, &str)]) -> Option<(String, Protocol)> {
        let plan = plan(flag, variables);
        assert_eq!(plan.problems, [], "{variables:?}");
        plan.settings.map(|settings| (settings.endpoint.to_string(), settings.protocol))
    }

    #[test]
    fn the_endpoint_is_the_flags_or_that_of_traces_or_that_of_everything() {
        const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/base/");
        const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/here");
        let to = |url: &str, protocol| Some((url.to_owned(), protocol));
        assert_eq!(goes(None, &[]), None);
        assert_eq!(goes(None, &[ALL]), to("http://all:4318/base/v1/traces", Protocol::Http));
        assert_eq!(goes(None, &[ALL, TRACES]), to("http://traces:4318/here", Protocol::Http));
        let flag = Some("http://flag:4317");
        assert_eq!(goes(flag, &[ALL, TRACES]), to("http://flag:4317/", Protocol::Grpc), "by its port");
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        assert_eq!(goes(flag, &[http]), to("http://flag:4317/v1/traces", Protocol::Http));
        let grpc = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc");
        assert_eq!(goes(None, &[TRACES, http, grpc]).unwrap().1, Protocol::Grpc);
        assert_eq!(goes(flag, &[("OTEL_SDK_DISABLED", "True")]), None);
        assert_eq!(goes(flag, &[("OTEL_SDK_DISABLED", "False")]).unwrap().1, Protocol::Grpc);
        assert_eq!(goes(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None, "empty is unset");
    }

    #[test]
    fn headers_and_time_are_those_of_traces_or_of_everything() {
        let flag = Some("http://flag:4318");
        let settings = |variables: &[(&str, &str)]| plan(flag, variables).settings.unwrap();
        let read = settings(&[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb, x-other = c=d")]);
        let shown: Vec<_> =
            read.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(shown, [("api-key", &b"a,b"[..]), ("x-other", b"c=d")]);
        assert!(!format!("{read:?}").contains("a,b"), "they may be secrets");
        assert_eq!(read.timeout, TIMEOUT);
        let times = [("OTEL_EXPORTER_OTLP_TIMEOUT", "500"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250")];
        assert_eq!(settings(&times[..1]).timeout, Duration::from_millis(500));
        assert_eq!(settings(&times).timeout, Duration::from_millis(250));
    }

    #[test]
    fn one_in_a_hundred_is_traced_unless_the_variables_say_otherwise() {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        const PART: (&str, &str) = ("OTEL_TRACES_SAMPLER_ARG", "0.5");
        let sampler =
            |variables: &[(&str, &str)]| plan(Some("http://flag:4318"), variables).settings.unwrap().sampler;
        let based = |root| Sampler { root, is_parent_based: true };
        assert_eq!(sampler(&[]), based(Root::Ratio(0.01)));
        assert_eq!(sampler(&[PART]), based(Root::Ratio(0.5)));
        assert_eq!(sampler(&[(NAME, "parentbased_always_on")]), based(Root::Always));
        assert_eq!(sampler(&[(NAME, "parentbased_traceidratio")]), based(Root::Ratio(1.0)));
        let alone = Sampler { root: Root::Ratio(0.5), is_parent_based: false };
        assert_eq!(sampler(&[(NAME, "traceidratio"), PART]), alone);
    }

    #[test]
    fn what_traces_are_of_is_said_by_two_variables() {
        const ATTRIBUTES: (&str, &str) =
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=a%20b");
        let resource = |variables: &[(&str, &str)]| plan(None, variables).resource.0;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(resource(&[]), [pair("service.name", "signet")]);
        let environment = pair("deployment.environment.name", "a b");
        assert_eq!(resource(&[ATTRIBUTES]), [pair("service.name", "other"), environment.clone()]);
        let both = [ATTRIBUTES, ("OTEL_SERVICE_NAME", "id")];
        assert_eq!(resource(&both), [pair("service.name", "id"), environment]);
    }

    #[test]
    fn what_is_not_read_and_what_cannot_be_used_is_named() {
        let flag = Some("https://flag:4318");
        let others = ["OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_TRACES_EXPORTER"];
        let set: Vec<_> = others.iter().map(|name| (*name, "1")).chain([("PATH", "/bin")]).collect();
        assert_eq!(plan(flag, &set).not_read, others);
        for (name, value, still_sends) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", true),
            ("OTEL_EXPORTER_OTLP_HEADERS", "no pair", true),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b=c", true),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", true),
            ("OTEL_EXPORTER_OTLP_HEADERS", "content-length=5", true),
            ("OTEL_SDK_DISABLED", "1", true),
            ("OTEL_TRACES_SAMPLER", "xray", true),
            ("OTEL_TRACES_SAMPLER_ARG", "2", true),
            ("OTEL_RESOURCE_ATTRIBUTES", "=a", true),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null", false),
        ] {
            let plan = plan(flag, &[(name, value)]);
            let named: Vec<_> = plan.problems.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!((named, plan.settings.is_some()), (vec![name], still_sends), "{name}={value}");
        }
        for bad in
            ["collector:4317", "ftp://collector", "http://user:secret@collector", "http://collector?a=b"]
        {
            let plan = plan(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", bad)]);
            assert!(plan.settings.is_none() && plan.problems.len() == 1, "{bad}");
            assert!(!plan.problems[0].1.contains("secret"));
            let flag = Some(SecretString::from(bad));
            let refused = TraceConfig { otlp_endpoint: flag, ..TraceConfig::default() }.plan().unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused}");
        }
    }

    #[test]
    fn what_is_said_of_everything_counts_where_what_is_said_of_traces_cannot_be_used() {
        let settings = |end: &str, of_traces: &str, of_all: &str| {
            let of_traces = (format!("{OF_TRACES}{end}"), of_traces);
            let of_all = (format!("{OF_ALL}{end}"), of_all);
            let variables = [&of_traces, &of_all].map(|(name, value)| (name.as_str(), *value));
            let plan = plan(Some("http://flag:4318"), &variables);
            let named: Vec<_> = plan.problems.iter().map(|(name, _)| name).collect();
            assert_eq!(named, [&of_traces.0]);
            plan.settings.unwrap()
        };
        assert_eq!(settings("PROTOCOL", "http/json", "grpc").protocol, Protocol::Grpc);
        assert_eq!(settings("HEADERS", "a b=c", "api-key=d").headers[0].1, "d");
        assert_eq!(settings("TIMEOUT", "0", "500").timeout, Duration::from_millis(500));
    }
}
