//! `/api/v1/openapi.json`: the API as OpenAPI 3.1. Shapes come from the types themselves; paths, parameters and what
//! may go wrong stand in one table.
//!
//! Source: <https://spec.openapis.org/oas/v3.1.1.html>.

use super::api::{RouteSort, TransactionSort};
use super::shapes::lines::{CaptureRequest, Captures, Examples};
use super::shapes::{
    Connection, ErrorGroup, Finding, Flame, Health, Info, List, Mark, ProblemBody, Report, Route,
    RouteDetail, Series, Statement, StatementDetail, StatementPlan, Summary, TableUse,
    TransactionShape, Unit,
};
use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// What an operation answers with.
#[derive(Clone, Copy)]
enum Answer {
    /// JSON of a type: its name, and how its schemas are collected.
    Json(fn() -> String, fn(&mut Schemas)),
    /// Something else, by its media type.
    Media(&'static str),
    /// 204.
    Nothing,
}

fn name_of<T: ToSchema>() -> String {
    T::name().into_owned()
}

fn schemas_of<T: ToSchema>(schemas: &mut Schemas) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

const fn of<T: ToSchema>() -> Answer {
    Answer::Json(name_of::<T>, schemas_of::<T>)
}

fn schemas_of_list<T: ToSchema>(schemas: &mut Schemas) {
    schemas_of::<T>(schemas);
    List::<T>::schemas(schemas);
    schemas.push((name_of_list::<T>(), List::<T>::schema()));
}

/// As the schemas of documents that hold such a list call it.
fn name_of_list<T: ToSchema>() -> String {
    format!("List_{}", T::name())
}

/// A list does not bring the schema of its items with it.
const fn list_of<T: ToSchema>() -> Answer {
    Answer::Json(name_of_list::<T>, schemas_of_list::<T>)
}

/// Name, what it is, schema.
#[derive(Clone, Copy)]
struct Parameter(&'static str, &'static str, Value);

#[derive(Clone, Copy)]
enum Value {
    Text,
    /// From, to.
    Number(u32, u32),
    Words(&'static str),
}

const LIMIT: Parameter =
    Parameter("limit", "Items of the answer; 50 if absent.", Value::Number(1, 500));
const CURSOR: Parameter = Parameter("cursor", "`next_cursor` of the page before.", Value::Text);
const FROM: Parameter = Parameter(
    "from",
    "Begin of a time range, RFC 3339 or `-15m` before now; as far as the history goes back.",
    Value::Text,
);
const TO: Parameter = Parameter("to", "End of the time range; now if absent.", Value::Text);
const DATABASE: Parameter = Parameter("database", "Only this database.", Value::Text);
const TOP: Parameter =
    Parameter("top", "Statements by themselves; 200 if absent.", Value::Number(1, 500));
const STATEMENT_SORTS: &str = "time, calls, mean, p99, rows, bytes, errors";

const fn sort(words: &'static str) -> Parameter {
    Parameter("sort", "Order, largest first.", Value::Words(words))
}

/// One operation.
struct Operation {
    method: HttpMethod,
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    body: Option<fn() -> Schema>,
    answer: Answer,
    /// Statuses of problems beside 401, 403 and 429, which every operation may answer with.
    problems: &'static [u16],
}

const fn get(
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
    problems: &'static [u16],
) -> Operation {
    Operation { method: HttpMethod::Get, path, summary, parameters, body: None, answer, problems }
}

const fn write(
    method: HttpMethod,
    path: &'static str,
    summary: &'static str,
    body: Option<fn() -> Schema>,
    answer: Answer,
    problems: &'static [u16],
) -> Operation {
    Operation { method, path, summary, parameters: &[], body, answer, problems }
}

#[rustfmt::skip]
const OPERATIONS: &[Operation] = &[
    get("/live", "Whether the process lives.", &[], of::<Health>(), &[]),
    get("/ready", "Whether it takes sessions; 503 with the same body while starting or draining.", &[], of::<Health>(), &[]),
    get("/metrics", "Prometheus text format 0.0.4.", &[], Answer::Media("text/plain"), &[]),
    get("/api/v1/info", "What runs, before which servers, and what it costs and loses.", &[], of::<Info>(), &[]),
    get("/api/v1/summary", "Everything in a few numbers.", &[], of::<Summary>(), &[]),
    get("/api/v1/statements", "Statement groups.", &[
        sort(STATEMENT_SORTS), DATABASE,
        Parameter("service", "Only what this service executes.", Value::Text),
        Parameter("route", "Only what is executed under this route.", Value::Text),
        Parameter("q", "Filter expression, as of `pgsonde tail --filter`; durations, rows and bytes are means.", Value::Text),
        FROM, TO, LIMIT, CURSOR,
    ], list_of::<Statement>(), &[400]),
    get("/api/v1/statements/{digest}", "One statement group.", &[DATABASE], of::<StatementDetail>(), &[400, 404]),
    get("/api/v1/statements/{digest}/series", "Its recent past in steps.", &[DATABASE, FROM, TO], of::<Series>(), &[400, 404]),
    get("/api/v1/statements/{digest}/examples", "Its slowest, typical and latest execution, as lines of a capture.", &[DATABASE], of::<Examples>(), &[400, 404]),
    Operation {
        parameters: &[DATABASE],
        ..write(HttpMethod::Post, "/api/v1/statements/{digest}/explain", "Its plan as the server has it now, over the side connection; never executed.", None, of::<StatementPlan>(), &[400, 404, 409, 503])
    },
    get("/api/v1/series", "The recent past of everything in steps.", &[FROM, TO], of::<Series>(), &[400]),
    get("/api/v1/routes", "Routes of services.", &[sort(RouteSort::WORDS), LIMIT, CURSOR], list_of::<Route>(), &[400]),
    get("/api/v1/routes/{service}/{route}", "One route with its typical and worst unit.", &[], of::<RouteDetail>(), &[404]),
    get("/api/v1/units/{id}", "One unit of work that a route shows.", &[], of::<Unit>(), &[400, 404]),
    get("/api/v1/transactions", "Transactions by their shape.", &[sort(TransactionSort::WORDS), LIMIT, CURSOR], list_of::<TransactionShape>(), &[400]),
    get("/api/v1/tables", "Who reads and writes which table.", &[LIMIT, CURSOR], list_of::<TableUse>(), &[400]),
    get("/api/v1/errors", "Errors by SQLSTATE.", &[LIMIT, CURSOR], list_of::<ErrorGroup>(), &[400]),
    get("/api/v1/connections", "Open sessions.", &[LIMIT, CURSOR], list_of::<Connection>(), &[400]),
    get("/api/v1/findings", "Findings, worst first.", &[
        Parameter("kind", "Only this kind.", Value::Text),
        Parameter("severity", "Only this severity.", Value::Words("error, warning, info")),
        Parameter("state", "Only this state.", Value::Words("open, muted, resolved")),
        FROM, TO, LIMIT, CURSOR,
    ], list_of::<Finding>(), &[400]),
    get("/api/v1/findings/{finding}", "One finding.", &[], of::<Finding>(), &[400, 404]),
    write(HttpMethod::Post, "/api/v1/findings/{finding}/mute", "Mutes a finding; answers with it.", Some(mute_body), of::<Finding>(), &[400, 404, 409]),
    write(HttpMethod::Delete, "/api/v1/findings/{finding}/mute", "Ends its mute.", None, of::<Finding>(), &[400, 409]),
    get("/api/v1/report", "Everything that a report shows.", &[TOP], of::<Report>(), &[400]),
    get("/api/v1/report.html", "The same as one file for a browser.", &[TOP], Answer::Media("text/html"), &[400]),
    get("/api/v1/flame", "Time by service, route, statement and phase; folded is text, speedscope a document of its own.", &[
        Parameter("format", "Form of the answer; json if absent.", Value::Words("json, folded, speedscope")),
        Parameter("group", "Levels from the top, with commas between them; service,route,statement,phase if absent.", Value::Text),
    ], of::<Flame>(), &[400]),
    get("/api/v1/snapshot", "What `pgsonde merge` reads: compressed, of a version of its own.", &[], Answer::Media("application/zstd"), &[400, 409]),
    get("/api/v1/events", "Events as they happen, one JSON object per line, without end.", &[
        Parameter("q", "Filter.", Value::Text),
        Parameter("max_rate", "Lines a second at most, such as 100/s.", Value::Text),
        Parameter("events", "Kinds of lines, with commas between them; all if absent.", Value::Text),
    ], Answer::Media("application/x-ndjson"), &[400]),
    get("/api/v1/captures", "Capture files.", &[], of::<Captures>(), &[400]),
    write(HttpMethod::Post, "/api/v1/captures", "Starts a capture.", Some(capture_body), Answer::Nothing, &[400, 409]),
    write(HttpMethod::Delete, "/api/v1/captures", "Ends the capture that runs.", None, Answer::Nothing, &[409]),
    get("/api/v1/captures/{id}", "One capture file, NDJSON in zstd.", &[], Answer::Media("application/zstd"), &[400, 404]),
    get("/api/v1/marks", "What ran under which mark.", &[], list_of::<Mark>(), &[400]),
    write(HttpMethod::Post, "/api/v1/marks", "Marks what runs from now on; null ends it.", Some(mark_body), Answer::Nothing, &[400]),
    write(HttpMethod::Post, "/api/v1/reload", "Reads the configuration again.", None, Answer::Nothing, &[409]),
    write(HttpMethod::Post, "/api/v1/drain", "Takes no more sessions and ends when the last one has.", None, Answer::Nothing, &[409]),
    write(HttpMethod::Put, "/api/v1/mode", "What is inspected.", Some(mode_body), Answer::Nothing, &[400, 409]),
    write(HttpMethod::Put, "/api/v1/log-level", "A level, or a filter of tracing's.", Some(level_body), Answer::Nothing, &[400, 409]),
    get("/api/v1/openapi.json", "This document.", &[], Answer::Media("application/json"), &[]),
];

fn text(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(about))
}

fn mute_body() -> Schema {
    let object = ObjectBuilder::new()
        .property("reason", text("1 to 500 bytes."))
        .property("until", text("A day or an RFC 3339 moment; absent = for good."));
    object.required("reason").build().into()
}

fn capture_body() -> Schema {
    match CaptureRequest::schema() {
        RefOr::T(schema) => schema,
        RefOr::Ref(_) => ObjectBuilder::new().build().into(),
    }
}

fn mark_body() -> Schema {
    ObjectBuilder::new()
        .property("mark", text("At most 256 bytes; null or empty ends it."))
        .build()
        .into()
}

fn mode_body() -> Schema {
    let modes = text("What is inspected.").enum_values(Some(["full", "counters_only", "bypass"]));
    ObjectBuilder::new().property("mode", modes).required("mode").build().into()
}

fn level_body() -> Schema {
    ObjectBuilder::new()
        .property("level", text("info, debug, pgsonde=trace …"))
        .required("level")
        .build()
        .into()
}

/// The document. Answers of operations share their schemas under `components`.
pub(crate) fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    schemas_of::<ProblemBody>(&mut schemas);
    let mut paths = PathsBuilder::new();
    for operation in OPERATIONS {
        if let Answer::Json(_, collect) = operation.answer {
            collect(&mut schemas);
        }
        let item = PathItem::new(operation.method.clone(), operation.described());
        paths = paths.path(operation.path, item);
    }
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas);
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("pgsonde")
                .version("1")
                .description(Some("The admin listener of pgsonde. Times are RFC 3339 UTC, durations `_ms`, shares 0 to 1; what is not known is null. Writes need the token, reads do where the listener isn't loopback."))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components.security_scheme("token", token).build()))
        .build()
}

impl Operation {
    fn described(&self) -> utoipa::openapi::path::Operation {
        let mut operation = OperationBuilder::new().summary(Some(self.summary));
        for name in placeholders(self.path) {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
            );
        }
        for Parameter(name, about, value) in self.parameters {
            operation = operation.parameter(
                ParameterBuilder::new()
                    .name(*name)
                    .parameter_in(ParameterIn::Query)
                    .required(Required::False)
                    .description(Some(*about))
                    .schema(Some(value.schema())),
            );
        }
        if let Some(body) = self.body {
            let content = ContentBuilder::new().schema(Some(body())).build();
            operation = operation.request_body(Some(
                RequestBodyBuilder::new().content("application/json", content).build(),
            ));
        }
        if self.method != HttpMethod::Get {
            operation = operation.security(SecurityRequirement::new("token", [""; 0]));
        }
        let (status, response) = self.answer.response();
        operation = operation.response(status, response);
        if self.path == "/ready" {
            operation = operation.response("503", self.answer.response().1);
        }
        for status in self.problems.iter().chain(&[401, 403, 429]) {
            operation = operation.response(status.to_string(), problem(*status));
        }
        operation.build()
    }
}

impl Value {
    fn schema(self) -> ObjectBuilder {
        match self {
            Self::Text => ObjectBuilder::new().schema_type(Type::String),
            Self::Number(low, high) => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(low))
                .maximum(Some(high)),
            Self::Words(words) => ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(words.split(", ").map(|word| json!(word)))),
        }
    }
}

impl Answer {
    fn response(self) -> (&'static str, utoipa::openapi::Response) {
        let response = ResponseBuilder::new();
        match self {
            Self::Json(name, _) => {
                let schema = Ref::from_schema_name(name());
                let content = ContentBuilder::new().schema(Some(schema)).build();
                (
                    "200",
                    response
                        .description("The answer.")
                        .content("application/json", content)
                        .build(),
                )
            }
            Self::Media(media) => {
                let content = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
                ("200", response.description("The answer.").content(media, content).build())
            }
            Self::Nothing => ("204", response.description("Done.").build()),
        }
    }
}

fn problem(status: u16) -> utoipa::openapi::Response {
    let what = match status {
        400 => "A parameter or the body is wrong.",
        401 => "The token is missing or wrong.",
        403 => "This name of the host is not known here, or the API is switched off.",
        404 => "There is no such thing.",
        409 => "Not possible in this state.",
        _ => "Too many requests at once.",
    };
    let schema = Ref::from_schema_name(name_of::<ProblemBody>());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(what).content("application/problem+json", content).build()
}

/// Names in braces of a path.
fn placeholders(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// Method and path of every route that the admin listener serves, out of its sources; pages for people left out.
    fn served() -> BTreeSet<(String, String)> {
        let folder = root().join("proxy/src/export/admin");
        let mut served = BTreeSet::new();
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap();
            for rest in text.split(".route(\"").skip(1) {
                let (path, rest) = rest.split_once('"').unwrap();
                let methods = rest.split(['\n', ';']).next().unwrap();
                let known = ["get", "post", "put", "delete"];
                let here = known.iter().filter(|method| methods.contains(&format!("{method}(")));
                served.extend(here.map(|method| ((*method).to_owned(), path.to_owned())));
            }
        }
        served.retain(|(_, path)| path.starts_with("/api/") || path.matches('/').count() == 1);
        served.retain(|(_, path)| path != "/" && path != "/plain");
        served
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
            })
            .collect();
        assert!(described.len() > 30);
        assert_eq!(described, served());
    }

    #[test]
    fn every_reference_has_its_schema() {
        let text = serde_json::to_string(&document()).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let names: BTreeSet<&str> = text
            .split("#/components/schemas/")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(names.contains("Finding"), "{names:?}");
        let known: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
        assert_eq!(names.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    /// The copy is the contract: a change shows up in its difference, and the page's types are made of it.
    ///
    /// `PGSONDE_ACCEPT=1 cargo test -p pgsonde --lib openapi` writes it anew, `npm run types` in dashboards/web the types.
    #[test]
    fn the_copy_in_the_tree_is_this_document() {
        let file = root().join("docs/openapi.json");
        let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("PGSONDE_ACCEPT").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let copy = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(copy == text, "docs/openapi.json is not what the program serves; see this test");
    }
}
