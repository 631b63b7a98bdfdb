// The dashboard of Signet for Grafana, of which dashboard.json is made:
//
//     npm ci && npm run dashboard
//
// A test makes it and compares, and runs every expression on a Prometheus that reads a Signet under load: no panel is empty.
//
// It is in the schema that Grafana has read for years: the SDK's second one is read by the newest Grafana alone.
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

const SOURCE: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

/** What is shown: the processes that whoever looks has chosen. */
const CHOSEN = 'job=~"$job",instance=~"$instance"';

/** The codes that tell of Signet's own failures, and not of what a client did wrong. */
const OWN_FAILURES = 'grpc_code=~"Internal|Unavailable|Unknown"';

/** A grid has 24 columns. */
const [THIRD, HALF] = [8, 12];
const HEIGHT = 8;

/** The series of `name` that are shown, with these labels. */
const of = (name: string, labels = ''): string => `${name}{${[CHOSEN, labels].filter(Boolean).join(',')}}`;

/** How much the counter grows in a second. */
const rate = (name: string, labels = ''): string => `rate(${of(name, labels)}[$__rate_interval])`;

const sum = (inner: string, by = ''): string => (by ? `sum by (${by}) (${inner})` : `sum(${inner})`);

/** The time that the part `part` of all stays within, of the histogram `name`. */
const quantile = (part: number, name: string, by = ''): string =>
    `histogram_quantile(${part}, ${sum(rate(`${name}_bucket`), ['le', by].filter(Boolean).join(', '))})`;

/** An expression, and what its series are called. */
type Line = [expression: string, legend: string];

const query = ([expression, legend]: Line, at: number): Builder<Dataquery> =>
    new prometheus.DataqueryBuilder()
        .datasource(SOURCE)
        .refId(String.fromCharCode('A'.charCodeAt(0) + at))
        .expr(expression)
        .legendFormat(legend)
        .range();

/** A panel of curves. `says` is what whoever looks at night should know of it. */
const curves = (title: string, says: string, unit: string, ...lines: Line[]): timeseries.PanelBuilder =>
    new timeseries.PanelBuilder()
        .title(title)
        .description(says)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(THIRD)
        .height(HEIGHT)
        .fillOpacity(10)
        .showPoints(common.VisibilityMode.Never)
        .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending))
        .legend(
            new common.VizLegendOptionsBuilder()
                .displayMode(common.LegendDisplayMode.List)
                .placement(common.LegendPlacement.Bottom)
                .showLegend(true),
        )
        .targets(lines.map(query));

/** A number of now, red from `bad` on, or, if that is 'low', below `bad`. */
const number = (title: string, says: string, unit: string, line: Line, bad?: number, side: 'high' | 'low' = 'high') => {
    const [first, then] = side === 'high' ? ['green', 'red'] : ['red', 'green'];
    const steps: dashboard.Threshold[] = [{ value: null, color: bad === undefined ? 'text' : first }];
    if (bad !== undefined) {
        steps.push({ value: bad, color: then });
    }
    return new stat.PanelBuilder()
        .title(title)
        .description(says)
        .datasource(SOURCE)
        .unit(unit)
        .span(3)
        .height(4)
        .graphMode(common.BigValueGraphMode.Area)
        .colorMode(common.BigValueColorMode.Value)
        .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false))
        .thresholds(new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps))
        .targets([query(line, 0)]);
};

type PanelOf = timeseries.PanelBuilder | stat.PanelBuilder;

/** The rows, in the order in which one looks at them. */
const ROWS: [title: string, panels: PanelOf[]][] = [
    ['At a glance', [
        number('Ready', 'Processes that can serve. The alert SignetNotReady names those that cannot.', 'none',
            [sum(of('signet_ready')), 'ready'], 1, 'low'),
        number('Database', 'Processes that the database answers.', 'none',
            [sum(of('signet_database_up')), 'answered'], 1, 'low'),
        number('Calls', 'Calls over gRPC, gRPC-Web and Connect.', 'reqps',
            [sum(rate('grpc_server_started_total')), 'calls']),
        number('Failures', 'Calls that failed for the service\'s own reasons, of all.', 'percentunit',
            [`${sum(rate('grpc_server_handled_total', OWN_FAILURES))} / ${sum(rate('grpc_server_handled_total'))} or vector(0)`, 'failures'],
            0.01),
        number('p99', '99 of 100 calls take no longer. Those with passwords are among them.', 's',
            [quantile(0.99, 'grpc_server_handling_seconds'), 'p99'], 1),
        number('Hash queue', 'Passwords that wait for a thread.', 'none', [sum(of('signet_hash_queue_length')), 'waiting'], 100),
        number('Memory', 'Of the budget of the process that is nearest to it (--memory-budget).', 'percentunit',
            [`max(${of('process_resident_memory_bytes')} / ${of('signet_memory_budget_bytes')})`, 'memory'], 1),
        number('Signing key', 'The age of the key that signs.', 's',
            [`time() - max(${of('signet_signing_key_created_timestamp_seconds')})`, 'age']),
    ]],
    ['Traffic', [
        curves('Calls by method', 'Calls over gRPC, gRPC-Web and Connect that have begun. `unknown` is what is not served.', 'reqps',
            [`${sum(rate('grpc_server_started_total'), 'grpc_service, grpc_method')} > 0`, '{{grpc_service}}/{{grpc_method}}']),
        curves('Requests over HTTP by route', 'Those of probes and of Prometheus itself are among them.', 'reqps',
            [sum(rate('signet_http_requests_total'), 'route'), '{{route}}']),
        curves('In flight', 'Calls that have begun and not ended. Watchers of health are among them.', 'none',
            [sum(of('signet_grpc_calls_in_flight'), 'instance'), '{{instance}}']),
    ]],
    ['Errors', [
        curves('Calls by code', 'Calls that did not end in OK, by what the client was told.', 'reqps',
            [`${sum(rate('grpc_server_handled_total', 'grpc_code!="OK"'), 'grpc_code')} > 0`, '{{grpc_code}}']),
        curves('By reason', 'Calls and requests that were refused or failed, by the reason that the client was told (docs/ERRORS.md).', 'reqps',
            [`${sum(rate('signet_errors_total'), 'reason')} > 0`, '{{reason}}']),
        curves('Requests over HTTP by status', 'Those that were refused or failed.', 'reqps',
            [sum(rate('signet_http_requests_total', 'status=~"[45].."'), 'route, status'), '{{status}} {{route}}']),
    ]],
    ['Latency', [
        curves('p50 by method', 'Half of the calls take no longer.', 's',
            [quantile(0.5, 'grpc_server_handling_seconds', 'grpc_method'), '{{grpc_method}}']),
        curves('p99 by method', '99 of 100 calls take no longer.', 's',
            [quantile(0.99, 'grpc_server_handling_seconds', 'grpc_method'), '{{grpc_method}}']),
        curves('p99 by route', '99 of 100 requests over HTTP take no longer, until their answer begins.', 's',
            [quantile(0.99, 'signet_http_request_seconds', 'route'), '{{route}}']),
    ]],
    ['Passwords', [
        curves('Queue and threads', 'Passwords that wait for a thread, and those that are being hashed, of the most that can be.', 'none',
            [sum(of('signet_hash_queue_length'), 'lane'), 'waiting, {{lane}}'],
            [sum(of('signet_hash_threads_busy')), 'being hashed'],
            [sum(of('signet_hash_threads')), 'threads'],
            [`max(${of('signet_hash_threads_competing')})`, 'compete for the cores']),
        curves('Wait for a thread', 'It grows before anything is refused.', 's',
            [quantile(0.5, 'signet_hash_wait_seconds'), 'p50'],
            [quantile(0.99, 'signet_hash_wait_seconds'), 'p99']),
        curves('Hashes', 'How long one takes, without the wait, and what is refused: the queue is full, or the deadline too near.', 's',
            [quantile(0.5, 'signet_hash_seconds'), 'p50'],
            [quantile(0.99, 'signet_hash_seconds'), 'p99'])
            .withTarget(query([sum(rate('signet_hash_refused_total'), 'lane'), 'refused, {{lane}}'], 2))
            .overrideByQuery('C', [{ id: 'unit', value: 'reqps' }, { id: 'custom.axisPlacement', value: 'right' }]),
    ]],
    ['Sessions', [
        curves('Logins', 'By password. `refused`: wrong credentials; `failed`: could not be checked.', 'ops',
            [sum(rate('signet_logins_total'), 'result'), '{{result}}']),
        curves('Refreshes', '`replayed`: a copy of a refresh token was used, and the session has been ended.', 'ops',
            [sum(rate('signet_refreshes_total'), 'result'), '{{result}}']),
        curves('Tokens', 'Access tokens issued by grant, and clients that asked for their own.', 'ops',
            [sum(rate('signet_tokens_issued_total'), 'grant'), '{{grant}}'],
            [sum(rate('signet_client_credentials_total'), 'result'), 'client credentials, {{result}}']),
    ]],
    ['Refusals', [
        curves('Guesses', 'Passwords that were wrong, not judged, or waited behind all others.', 'ops',
            [sum(rate('signet_password_guesses_total'), 'result'), '{{result}}']),
        curves('Floods', 'Calls that found no place, strangers\' look-ups that found none, and connections that were refused or ended early.',
            'ops',
            [`topk(5, ${sum(rate('signet_places_refused_total'), 'listener, lane')})`, 'no place, {{listener}} {{lane}}'],
            [sum(rate('signet_stranger_lookups_total'), 'result'), 'look-ups, {{result}}'],
            [sum(rate('signet_connections_refused_total'), 'reason'), 'connections refused, {{reason}}'],
            [sum(rate('signet_connections_ended_early_total'), 'reason'), 'connections ended, {{reason}}']),
        curves('Places taken', 'The lanes of which the most is taken.', 'percentunit',
            [`topk(5, max by (listener, lane) (${of('signet_places_taken')} / ${of('signet_places')}))`, '{{listener}} {{lane}}']),
    ]],
    ['Database', [
        curves('Statements', 'How many, and how many failed; a username that is taken is among them.', 'ops',
            [sum(rate('signet_database_statement_seconds_count')), 'statements'],
            [sum(rate('signet_database_statements_failed_total')), 'failed']),
        curves('Time of a statement', 'In the database, without the wait for a connection.', 's',
            [quantile(0.5, 'signet_database_statement_seconds'), 'p50'],
            [quantile(0.99, 'signet_database_statement_seconds'), 'p99']),
        curves('Pool', 'Connections at work, of the most that there may be, by pool. One that stays full makes calls wait.', 'none',
            [sum(of('signet_database_connections', 'state="busy"'), 'pool'), '{{pool}}, at work'],
            [sum(of('signet_database_connections_max'), 'pool'), '{{pool}}, at most']),
    ]],
    ['Caches and feed', [
        curves('Hits', 'Look-ups that were answered from what is remembered.', 'percentunit',
            [`${sum(rate('signet_cache_lookups_total', 'result="hit"'), 'cache')} / ${sum(rate('signet_cache_lookups_total'), 'cache')}`,
                '{{cache}}']).max(1),
        curves('Feed lag', 'How long ago the changes of other processes were read.', 's',
            [sum(of('signet_change_feed_lag_seconds'), 'instance'), '{{instance}}']),
        curves('Clocks apart', 'This machine\'s clock beside the database\'s. Beyond --clock-leeway nothing is deleted, and no key rotated.', 's',
            [`abs(${sum(of('signet_clock_offset_seconds'), 'instance')})`, '{{instance}}'],
            [sum(rate('signet_clock_withheld_total')), 'work not done in a second']),
    ]],
    ['Keys, certificates and jobs', [
        curves('Age of the signing key', 'It falls at each rotation.', 's',
            [`time() - ${of('signet_signing_key_created_timestamp_seconds')}`, '{{instance}}']),
        curves('Certificate', 'How long it is valid yet, and changed files that could not be used. Empty without TLS.', 's',
            [`${of('signet_tls_certificate_expiry_timestamp_seconds')} - time()`, '{{instance}}'])
            .withTarget(query([`increase(${of('signet_tls_reloads_total', 'result="failed"')}[1h])`, 'not usable, {{instance}}'], 1))
            .overrideByQuery('B', [{ id: 'unit', value: 'none' }, { id: 'custom.axisPlacement', value: 'right' }]),
        curves('Jobs', 'Runs that did not succeed, of the five jobs with the most, and all that did: looks for a due key are one a second.',
            'ops',
            [`topk(5, ${sum(rate('signet_job_runs_total', 'result!="succeeded"'), 'exported_job, result')})`, '{{exported_job}} {{result}}'],
            [sum(rate('signet_job_runs_total', 'result="succeeded"')), 'succeeded']),
    ]],
    ['Process', [
        curves('Memory', 'Resident memory, and the budget of one process.', 'bytes',
            [sum(of('process_resident_memory_bytes'), 'instance'), '{{instance}}'],
            [`min(${of('signet_memory_budget_bytes')})`, 'budget']),
        curves('Cores', 'Cores at work. Hashes give way to calls.', 'none',
            [sum(rate('process_cpu_seconds_total'), 'instance'), '{{instance}}']),
        curves('Threads and files', 'Open files, connections among them.', 'none',
            [sum(of('process_threads'), 'instance'), '{{instance}}, threads'],
            [sum(of('process_open_fds'), 'instance'), '{{instance}}, files']),
    ]],
    ['Connections', [
        curves('Open', 'By listener.', 'none', [sum(of('signet_connections_open'), 'listener'), '{{listener}}']).span(HALF),
        curves('Accepted, and TLS handshakes', 'A handshake fails with no TLS, no certificate that both accept, or too slowly.', 'cps',
            [sum(rate('signet_connections_accepted_total'), 'listener'), '{{listener}}'],
            [sum(rate('signet_tls_handshakes_total'), 'result'), 'handshakes {{result}}']).span(HALF),
    ]],
    ['What is told', [
        curves('Log', 'Lines of the log and the request log. `lost`: nobody reads standard error fast enough.', 'ops',
            [sum(rate('signet_log_lines_total'), 'result'), 'log, {{result}}'],
            [sum(rate('signet_request_log_lines_total'), 'result'), 'requests, {{result}}']),
        curves('Audit events', 'In the audit log, and in the database. What is lost is missing there for good.', 'ops',
            [sum(rate('signet_audit_events_total'), 'result'), 'log, {{result}}'],
            [sum(rate('signet_audit_database_events_total'), 'result'), 'database, {{result}}']),
        curves('Traces', '`lost`: the collector did not take them; `left_out`: more than 100 in a second.', 'ops',
            [sum(rate('signet_traces_total'), 'result'), '{{result}}']),
    ]],
    ['Services that follow what was revoked', [
        curves('Watchers', 'Streams that are open, and places for them.', 'none',
            [sum(of('signet_places_taken', 'listener="grpc",lane="watchers"'), 'instance'), '{{instance}}'],
            [sum(of('signet_places', 'listener="grpc",lane="watchers"')), 'places']),
        curves('Streams that begin', '`resumed`: they go on where they were; `resync`: they could not. All at once after a restart.', 'ops',
            [sum(rate('signet_event_streams_total'), 'start'), '{{start}}']),
        curves('Watchers that miss something', 'Dropped since they read too slowly, and snapshots that could not tell all.', 'ops',
            [sum(rate('signet_event_watchers_dropped_total')), 'dropped'],
            [sum(rate('signet_event_snapshots_cut_total')), 'snapshots cut']),
    ]],
];

/** Chooses among the values of `label`. */
const choice = (label: string, among: string): dashboard.QueryVariableBuilder =>
    new dashboard.QueryVariableBuilder(label)
        .datasource(SOURCE)
        .query(`label_values(${among}, ${label})`)
        .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
        .sort(dashboard.VariableSort.AlphabeticalAsc)
        .multi(true)
        .includeAll(true)
        .current({ selected: true, text: 'All', value: '$__all' });

const made = new dashboard.DashboardBuilder('Signet')
    .uid('signet')
    .description('Who asks for what, what it takes, and what is refused. Alerts: signet.rules.yaml; what to do: docs/OPERATIONS.md.')
    .tags(['signet'])
    .timezone('browser')
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(choice('job', 'signet_build_info'))
    .withVariable(choice('instance', 'signet_build_info{job=~"$job"}'));
for (const [title, panels] of ROWS) {
    made.withRow(new dashboard.RowBuilder(title));
    for (const panel of panels) {
        made.withPanel(panel);
    }
}
const built = made.build();
// Grafana numbers panels that have no number anew at each load, and links to a panel are by its number.
built.panels?.forEach((panel, at) => { panel.id = at + 1; });

process.stdout.write(`${JSON.stringify(built, null, 2)}\n`);
