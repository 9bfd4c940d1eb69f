//! The types of an Arrow schema are written as PyArrow writes them: PyArrow itself, handed the same
//! fields through Arrow's C data interface, is the judge.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{
    ArrowError, DataType, Field, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode,
};
use serde_json::{Value, json};

use crate::support::python;

/// What PyArrow made of a field.
#[derive(Debug, PartialEq)]
enum Verdict {
    Type(String),
    Refused(String),
}

#[test]
fn every_type_is_written_as_pyarrow_writes_it() {
    let columns = columns();
    assert_all_variants_are_among(&columns);
    assert_written_as_pyarrow_does(&columns);
}

#[test]
fn every_type_within_every_container_is_written_as_pyarrow_writes_it() {
    let fields: Vec<Field> = columns()
        .iter()
        .flat_map(|column| [column.clone(), column.clone().with_nullable(false)])
        .flat_map(|column| containers(&column))
        .collect();
    assert_written_as_pyarrow_does(&fields);
}

#[test]
fn containers_three_deep_are_written_as_pyarrow_writes_them() {
    let innermost = field("number", DataType::Int8);
    let fields: Vec<Field> = containers(&innermost)
        .iter()
        .flat_map(containers)
        .flat_map(|column| containers(&column))
        .collect();
    assert_written_as_pyarrow_does(&fields);
}

#[test]
fn field_names_within_types_are_written_raw() {
    let names = [
        "",
        " ",
        "a b",
        "a: int8",
        "a, b",
        "\"quoted\"",
        "it's",
        "<>",
        "not null",
        "naïve",
        "列",
        "🦀",
        "new\nline",
        "tab\t",
        "back\\slash",
        "\u{7f}\u{1}",
        "key",
        "value",
        "entries",
        "item",
    ];
    let fields: Vec<Field> = names
        .iter()
        .flat_map(|name| containers(&field(name, DataType::Utf8)))
        .chain(names.iter().map(|name| {
            let [key, value] = [*name, *name].map(|name| field(name, DataType::Utf8));
            map_column(name, key, value, true)
        }))
        .collect();
    assert_written_as_pyarrow_does(&fields);
}

#[test]
fn extension_types_that_pyarrow_registers_are_written_by_their_names() {
    let fields = registered_extensions();
    for field in &fields {
        let written = written(field);
        assert!(
            written.starts_with("extension<arrow."),
            "{field:?} is written {written}"
        );
    }
    assert_written_as_pyarrow_does(&fields);
    let nested: Vec<Field> = fields.iter().flat_map(containers).collect();
    assert_written_as_pyarrow_does(&nested);
}

#[test]
fn extension_types_that_pyarrow_does_not_know_are_written_as_their_storage() {
    let unknown = [
        extension("geoarrow.wkb", "{}", DataType::Binary),
        extension("arrow.parquet.variant", "", DataType::Binary),
        extension("arrow.timestamp_with_offset", "", DataType::Int16),
        extension("arrow.UUID", "", DataType::FixedSizeBinary(16)),
        extension("", "", DataType::Int8),
    ];
    for field in &unknown {
        assert_eq!(written(field), written(&without_metadata(field)));
    }
    assert_written_as_pyarrow_does(&unknown);
}

#[test]
fn an_extension_type_that_pyarrow_refuses_is_written_as_its_storage() {
    let refused = refused_extensions();
    for (field, verdict) in refused.iter().zip(pyarrow(&refused)) {
        assert!(
            matches!(verdict, Verdict::Refused(_)),
            "{field:?}: {verdict:?}"
        );
        assert_eq!(written(field), written(&without_metadata(field)));
    }
}

#[test]
fn a_tensor_of_every_type_is_written_as_pyarrow_writes_it_or_as_its_storage() {
    let values = columns().into_iter().chain(registered_extensions());
    let (fixed, variable): (Vec<Field>, Vec<Field>) = values
        .map(|value| {
            let list = DataType::FixedSizeList(Arc::new(value.clone()), 2);
            (
                extension("arrow.fixed_shape_tensor", r#"{"shape":[2]}"#, list),
                extension(
                    "arrow.variable_shape_tensor",
                    "{}",
                    variable_shape_storage(value, 1),
                ),
            )
        })
        .unzip();
    assert_written_as_pyarrow_does(&fixed);
    for (field, verdict) in variable.iter().zip(pyarrow(&variable)) {
        match verdict {
            Verdict::Type(theirs) => assert_eq!(written(field), theirs),
            Verdict::Refused(_) => assert_eq!(written(field), written(&without_metadata(field))),
        }
    }
}

/// arrow-rs writes `null` where PyArrow demands that the member be left out, so PyArrow refuses its
/// tensors; what they are is clear none the less.
#[test]
fn a_tensor_whose_metadata_comes_from_arrow_rs_is_written_as_a_tensor() {
    let tensor = extension(
        "arrow.fixed_shape_tensor",
        r#"{"shape":[2,3],"dim_names":null,"permutations":null}"#,
        DataType::FixedSizeList(Arc::new(field("item", DataType::Float32)), 6),
    );
    assert_eq!(
        written(&tensor),
        "extension<arrow.fixed_shape_tensor[value_type=float, shape=[2,3]]>"
    );
    let verdict = pyarrow(&[tensor]).remove(0);
    assert_eq!(
        verdict,
        Verdict::Refused("dim_names must be an array, got null".to_owned())
    );
}

/// arrow-schema can describe types that Arrow does not have. PyArrow imports none of these; each is
/// still written, in the form of its kind, and nothing panics.
#[test]
fn a_type_that_pyarrow_refuses_is_written_in_the_form_of_its_kind() {
    let item = || Arc::new(field("item", DataType::Int8));
    let dictionary = |indices, values| DataType::Dictionary(Box::new(indices), Box::new(values));
    let entries = |fields: Vec<Field>| Arc::new(field("entries", DataType::Struct(fields.into())));
    let refused = [
        (DataType::FixedSizeBinary(-1), "fixed_size_binary[-1]"),
        (
            DataType::FixedSizeList(item(), -1),
            "fixed_size_list<item: int8>[-1]",
        ),
        (DataType::Decimal32(0, 0), "decimal32(0, 0)"),
        (DataType::Decimal64(19, 0), "decimal64(19, 0)"),
        (DataType::Decimal128(39, 0), "decimal128(39, 0)"),
        (DataType::Decimal256(77, 0), "decimal256(77, 0)"),
        (
            dictionary(DataType::Utf8, DataType::Int8),
            "dictionary<values=int8, indices=string, ordered=0>",
        ),
        (DataType::Map(item(), false), "map<item: int8>"),
        (
            DataType::Map(entries(vec![]), true),
            "map<entries: struct<>>",
        ),
        (
            run_end_encoded(DataType::Utf8, field("values", DataType::Int8)),
            "run_end_encoded<run_ends: string, values: int8>",
        ),
        (
            run_end_encoded(
                DataType::Int16,
                field(
                    "values",
                    run_end_encoded(DataType::Int32, field("values", DataType::Int8)),
                ),
            ),
            "run_end_encoded<run_ends: int16, values: run_end_encoded<run_ends: int32, values: int8>>",
        ),
    ];
    let fields: Vec<Field> = refused
        .iter()
        .map(|(data_type, _)| column(data_type.clone()))
        .collect();
    for ((field, (_, expected)), verdict) in fields.iter().zip(&refused).zip(pyarrow(&fields)) {
        assert!(
            matches!(verdict, Verdict::Refused(_)),
            "{field:?}: {verdict:?}"
        );
        assert_eq!(written(field), *expected);
    }
}

/// PyArrow cannot be asked about these, for arrow-schema does not hand them out: the C data
/// interface has no format for such a time, and its names end at a NUL.
#[test]
fn a_type_that_the_c_data_interface_cannot_carry_is_written_in_the_form_of_its_kind() {
    let nul_named = field("a\0b", DataType::Int8);
    let out_of_reach = [
        (DataType::Time32(TimeUnit::Microsecond), "time32[us]"),
        (DataType::Time32(TimeUnit::Nanosecond), "time32[ns]"),
        (DataType::Time64(TimeUnit::Second), "time64[s]"),
        (DataType::Time64(TimeUnit::Millisecond), "time64[ms]"),
        (
            DataType::Struct(vec![nul_named].into()),
            "struct<a\0b: int8>",
        ),
    ];
    for (data_type, expected) in out_of_reach {
        let field = column(data_type);
        assert!(FFI_ArrowSchema::try_from(&field).is_err(), "{field:?}");
        assert_eq!(written(&field), expected);
    }
}

#[test]
fn a_schema_is_its_fields_in_order_with_their_own_names() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("a \"name\"", DataType::Utf8, true),
        Field::new(
            "id",
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ),
    ]);
    assert_eq!(
        serde_json::to_string(&opteryx_webhooks::Schema::from(&schema)).unwrap(),
        concat!(
            r#"{"fields":[{"name":"id","type":"int64"},{"name":"a \"name\"","type":"string"},"#,
            r#"{"name":"id","type":"timestamp[us, tz=UTC]"}]}"#
        ),
    );
    assert_eq!(
        serde_json::to_value(opteryx_webhooks::Schema::from(&Schema::empty())).unwrap(),
        json!({"fields": []}),
    );
}

/// A column of every type that both have, with every unit, and the edges of every parameter.
fn columns() -> Vec<Field> {
    use DataType::*;
    use TimeUnit::*;

    let units = [Second, Millisecond, Microsecond, Nanosecond];
    let zones = [
        None,
        Some(""),
        Some("UTC"),
        Some("+05:30"),
        Some("Europe/Paris"),
        Some("a [zone], tz=x"),
    ];
    let dictionary = |indices: &DataType| Dictionary(Box::new(indices.clone()), Box::new(Utf8));
    let indices = [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64];

    let mut types = vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Date32,
        Date64,
        Binary,
        LargeBinary,
        BinaryView,
        Utf8,
        LargeUtf8,
        Utf8View,
    ];
    types.extend(
        units
            .iter()
            .flat_map(|unit| zones.map(|zone| Timestamp(*unit, zone.map(Arc::from)))),
    );
    types.extend([
        Time32(Second),
        Time32(Millisecond),
        Time64(Microsecond),
        Time64(Nanosecond),
    ]);
    types.extend(units.map(Duration));
    types.extend(
        [
            IntervalUnit::YearMonth,
            IntervalUnit::DayTime,
            IntervalUnit::MonthDayNano,
        ]
        .map(Interval),
    );
    types.extend([0, 1, 16, i32::MAX].map(FixedSizeBinary));
    for scale in [0, 2, -2, i8::MAX, i8::MIN] {
        types.extend([
            Decimal32(1, scale),
            Decimal32(9, scale),
            Decimal64(18, scale),
        ]);
        types.extend([
            Decimal128(10, scale),
            Decimal128(38, scale),
            Decimal256(76, scale),
        ]);
    }
    types.extend([
        Struct(Fields::empty()),
        union(UnionMode::Sparse, []),
        union(UnionMode::Dense, []),
    ]);

    let mut columns: Vec<Field> = types.into_iter().map(column).collect();
    columns.extend(indices.iter().map(|indices| column(dictionary(indices))));
    columns.extend(
        indices
            .iter()
            .map(|indices| column(dictionary(indices)).with_dict_is_ordered(true)),
    );
    columns.extend(containers(&field("item", Utf8)));
    // Arrow demands that entries and keys cannot be null; PyArrow takes them none the less.
    let entries = Struct(vec![field("key", Utf8), field("value", Utf8)].into());
    columns.push(column(Map(Arc::new(field("entries", entries)), false)));
    columns
}

/// A column of each kind of container around a field.
fn containers(inner: &Field) -> Vec<Field> {
    use DataType::*;

    let child = || Arc::new(inner.clone());
    let other = || Arc::new(Field::new("other", Utf8, false));
    let not_null = || inner.clone().with_nullable(false);

    let mut containers: Vec<Field> = vec![
        List(child()),
        LargeList(child()),
        ListView(child()),
        LargeListView(child()),
        FixedSizeList(child(), 0),
        FixedSizeList(child(), 3),
        Struct(vec![child()].into()),
        Struct(vec![other(), child(), child()].into()),
        union(UnionMode::Sparse, [(0, child()), (1, other())]),
        union(UnionMode::Dense, [(127, other()), (5, child())]),
    ]
    .into_iter()
    .map(column)
    .collect();
    containers.extend([
        map_column("entries", not_null(), other().as_ref().clone(), false),
        map_column("entries", field("key", Int8), inner.clone(), true),
        map_column(
            "key_value",
            field("keys", Utf8),
            field("value", inner.data_type().clone()),
            false,
        ),
    ]);
    let dictionary = column(Dictionary(
        Box::new(UInt8),
        Box::new(inner.data_type().clone()),
    ));
    containers.extend([dictionary.clone(), dictionary.with_dict_is_ordered(true)]);
    // PyArrow imports no run-end encoding of run ends.
    if !matches!(inner.data_type(), RunEndEncoded(_, _)) {
        containers.extend(
            [Int16, Int32, Int64].map(|integer| column(run_end_encoded(integer, inner.clone()))),
        );
    }
    containers
}

/// Fields of every extension type that PyArrow has registered when it is imported.
fn registered_extensions() -> Vec<Field> {
    use DataType::*;

    let list = |value, size| FixedSizeList(Arc::new(field("item", value)), size);
    let opaque = |metadata, storage| extension("arrow.opaque", metadata, storage);
    let fixed = |metadata, storage| extension("arrow.fixed_shape_tensor", metadata, storage);
    let variable = |metadata, storage| extension("arrow.variable_shape_tensor", metadata, storage);

    let mut fields = vec![
        extension("arrow.uuid", "", FixedSizeBinary(16)),
        extension("arrow.uuid", None, FixedSizeBinary(16)),
        extension("arrow.bool8", "", Int8),
        extension("arrow.json", "", Utf8),
        extension("arrow.json", "{}", LargeUtf8),
        extension("arrow.json", None, Utf8View),
        opaque(
            r#"{"type_name":"geometry","vendor_name":"PostGIS"}"#,
            Binary,
        ),
        opaque(
            r#"{"vendor_name":"\u00e9 \"<", "type_name":"", "more":[1, null]}"#,
            Null,
        ),
        opaque(r#"{"type_name":"t","vendor_name":"v"}"#, list(Int8, 2)),
        fixed(r#"{"shape":[2,3]}"#, list(Int8, 6)),
        fixed(r#"{"shape":[2,3]}"#, list(Utf8, 6)),
        fixed(r#"{"shape":[]}"#, list(Float16, 1)),
        fixed(
            r#"{"shape":[], "permutation":[], "dim_names":[]}"#,
            list(Float16, 1),
        ),
        fixed(
            r#"{"shape":[0,3],"dim_names":["C","é, \""]}"#,
            list(Boolean, 0),
        ),
        fixed(
            r#"{"permutation":[2,0,1],"shape":[1,2,3],"dim_names":["C","H","W"],"x":{}}"#,
            list(Float64, 6),
        ),
        variable("{}", variable_shape_storage(column(Float32), 2)),
        variable("{}", variable_shape_storage(column(Float32), 0)),
        variable(
            r#"{"uniform_shape":[],"dim_names":[]}"#,
            variable_shape_storage(column(Float32), 0),
        ),
        variable(
            r#"{"uniform_shape":[3,null]}"#,
            variable_shape_storage(column(Int8), 2),
        ),
        variable(
            r#"{"permutation":[1,0],"uniform_shape":[null,400],"dim_names":["H","W"]}"#,
            variable_shape_storage(column(Int8), 2),
        ),
    ];
    let dictionary = Dictionary(Box::new(Int8), Box::new(Utf8));
    fields.push(
        opaque(r#"{"type_name":"t","vendor_name":"v"}"#, dictionary).with_dict_is_ordered(true),
    );
    fields
}

/// Fields whose extension type is one of PyArrow's, but whose storage or metadata is not.
fn refused_extensions() -> Vec<Field> {
    use DataType::*;

    let list = |value, size| FixedSizeList(Arc::new(field("item", value)), size);
    let fixed = |metadata| extension("arrow.fixed_shape_tensor", metadata, list(Int8, 6));
    let variable = |metadata| {
        extension(
            "arrow.variable_shape_tensor",
            metadata,
            variable_shape_storage(column(Float32), 2),
        )
    };
    let variable_in = |storage| extension("arrow.variable_shape_tensor", "{}", storage);
    let dictionary = || Dictionary(Box::new(Int8), Box::new(Utf8));
    let pair = |data: DataType, shape: DataType| {
        Struct(vec![field("data", data), field("shape", shape)].into())
    };
    let values = |value| List(Arc::new(field("item", value)));

    vec![
        extension("arrow.uuid", "", FixedSizeBinary(15)),
        extension("arrow.uuid", "", Utf8),
        extension("arrow.uuid", "x", FixedSizeBinary(16)),
        extension("arrow.bool8", "", UInt8),
        extension("arrow.bool8", "", Boolean),
        extension("arrow.bool8", "x", Int8),
        extension("arrow.json", "", Binary),
        extension("arrow.json", "", dictionary()),
        extension("arrow.opaque", None, Int8),
        extension("arrow.opaque", "", Int8),
        extension("arrow.opaque", "[]", Int8),
        extension("arrow.opaque", "{", Int8),
        extension("arrow.opaque", r#"{"type_name":"t"}"#, Int8),
        extension("arrow.opaque", r#"{"vendor_name":"v"}"#, Int8),
        extension("arrow.opaque", r#"{"type_name":1,"vendor_name":"v"}"#, Int8),
        extension("arrow.fixed_shape_tensor", r#"{"shape":[6]}"#, values(Int8)),
        fixed(""),
        fixed("{}"),
        fixed(r#"{"shape":6}"#),
        fixed(r#"{"shape":["6"]}"#),
        fixed(r#"{"shape":[6.0]}"#),
        fixed(r#"{"shape":[5]}"#),
        fixed(r#"{"shape":[-2,-3]}"#),
        fixed(r#"{"shape":[4294967296,4294967296,6]}"#),
        fixed(r#"{"shape":[2,3],"permutation":[]}"#),
        fixed(r#"{"shape":[2,3],"permutation":[0]}"#),
        fixed(r#"{"shape":[2,3],"permutation":[0,0]}"#),
        fixed(r#"{"shape":[2,3],"permutation":[1,2]}"#),
        fixed(r#"{"shape":[2,3],"dim_names":[]}"#),
        fixed(r#"{"shape":[2,3],"dim_names":["a"]}"#),
        fixed(r#"{"shape":[2,3],"dim_names":["a",1]}"#),
        variable(""),
        variable("[]"),
        variable(r#"{"permutation":[]}"#),
        variable(r#"{"permutation":[0,0]}"#),
        variable(r#"{"permutation":[0,1,2]}"#),
        variable(r#"{"dim_names":["a"]}"#),
        variable(r#"{"uniform_shape":[]}"#),
        variable(r#"{"uniform_shape":[1]}"#),
        variable(r#"{"uniform_shape":[-1,1]}"#),
        variable(r#"{"uniform_shape":["1",1]}"#),
        variable_in(Int8),
        variable_in(Struct(Fields::empty())),
        variable_in(pair(Int8, list(Int32, 2))),
        variable_in(pair(
            LargeList(Arc::new(field("item", Int8))),
            list(Int32, 2),
        )),
        variable_in(pair(values(Int8), list(Int64, 2))),
        variable_in(pair(values(Int8), values(Int32))),
        variable_in(pair(list(Int32, 2), values(Int8))),
        variable_in(pair(values(Utf8), list(Int32, 2))),
        variable_in(pair(values(Null), list(Int32, 2))),
        variable_in(pair(values(values(Int8)), list(Int32, 2))),
        variable_in(pair(values(list(Int8, 2)), list(Int32, 2))),
    ]
}

fn variable_shape_storage(value: Field, dimensions: i32) -> DataType {
    let data = DataType::List(Arc::new(value));
    let sizes = DataType::FixedSizeList(Arc::new(field("item", DataType::Int32)), dimensions);
    DataType::Struct(vec![field("data", data), field("shape", sizes)].into())
}

fn extension<'a>(name: &str, metadata: impl Into<Option<&'a str>>, storage: DataType) -> Field {
    let mut all = HashMap::from([("ARROW:extension:name".to_owned(), name.to_owned())]);
    if let Some(metadata) = metadata.into() {
        all.insert("ARROW:extension:metadata".to_owned(), metadata.to_owned());
    }
    column(storage).with_metadata(all)
}

fn without_metadata(field: &Field) -> Field {
    field.clone().with_metadata(HashMap::new())
}

fn map_column(entries: &str, key: Field, value: Field, keys_sorted: bool) -> Field {
    let fields = Fields::from(vec![key.with_nullable(false), value]);
    let entries = Field::new(entries, DataType::Struct(fields), false);
    column(DataType::Map(Arc::new(entries), keys_sorted))
}

fn run_end_encoded(run_ends: DataType, values: Field) -> DataType {
    let run_ends = Field::new("run_ends", run_ends, false);
    DataType::RunEndEncoded(Arc::new(run_ends), Arc::new(values))
}

fn union<const N: usize>(mode: UnionMode, fields: [(i8, Arc<Field>); N]) -> DataType {
    DataType::Union(fields.into_iter().collect::<UnionFields>(), mode)
}

fn column(data_type: DataType) -> Field {
    field("column", data_type)
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// Fails to compile when arrow-schema gains a type, and to pass when a type has no column.
fn assert_all_variants_are_among(fields: &[Field]) {
    macro_rules! variants {
        ($($variant:ident)*) => {
            (
                BTreeSet::from([$(stringify!($variant)),*]),
                |data_type: &DataType| match data_type {
                    $(DataType::$variant { .. } => stringify!($variant),)*
                },
            )
        };
    }
    let (all, name) = variants! {
        Null Boolean Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float16 Float32 Float64
        Timestamp Date32 Date64 Time32 Time64 Duration Interval Binary FixedSizeBinary LargeBinary
        BinaryView Utf8 LargeUtf8 Utf8View List ListView FixedSizeList LargeList LargeListView
        Struct Union Dictionary Decimal32 Decimal64 Decimal128 Decimal256 Map RunEndEncoded
    };
    let present: BTreeSet<_> = fields.iter().map(|field| name(field.data_type())).collect();
    assert_eq!(present, all);
}

fn assert_written_as_pyarrow_does(fields: &[Field]) {
    let differences: Vec<String> = fields
        .iter()
        .zip(pyarrow(fields))
        .map(|(field, verdict)| (field, Verdict::Type(written(field)), verdict))
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(field, ours, theirs)| format!("{field:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}"))
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        fields.len(),
        differences.join("\n")
    );
}

/// The type of a field as the payload has it.
fn written(field: &Field) -> String {
    let schema = Schema::new(vec![field.clone()]);
    let json = serde_json::to_value(opteryx_webhooks::Schema::from(&schema)).unwrap();
    assert_eq!(json["fields"][0]["name"], field.name().as_str());
    json["fields"][0]["type"].as_str().unwrap().to_owned()
}

/// What PyArrow makes of each field, when it is handed it.
fn pyarrow(fields: &[Field]) -> Vec<Verdict> {
    let mut input = String::new();
    for field in fields {
        let exported = FFI_ArrowSchema::try_from(field).unwrap();
        input.push_str(&members(&exported).unwrap().to_string());
        input.push('\n');
    }

    let mut child = Command::new(python::interpreter("requirements-pyarrow.txt"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/arrow_types.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());

    let verdicts: Vec<Verdict> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            match answer["type"].as_str() {
                Some(name) => Verdict::Type(name.to_owned()),
                None => Verdict::Refused(answer["refused"].as_str().unwrap().to_owned()),
            }
        })
        .collect();
    assert_eq!(verdicts.len(), fields.len());
    verdicts
}

/// A schema of the C data interface, member by member, for a process that cannot see this memory.
fn members(schema: &FFI_ArrowSchema) -> Result<Value, ArrowError> {
    Ok(json!({
        "format": schema.format(),
        "name": schema.name().unwrap_or_default(),
        "metadata": schema.metadata()?,
        "flags": schema.flags().map(|flags| flags.bits()),
        "children": schema.children().map(members).collect::<Result<Vec<_>, _>>()?,
        "dictionary": schema.dictionary().map(members).transpose()?,
    }))
}
