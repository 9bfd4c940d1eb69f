//! Arrow types in PyArrow's words: what `str(field.type)` gives when PyArrow is handed the schema.

mod extension;

use std::fmt::{self, Display};

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit, UnionMode};
use serde::{Serialize, Serializer};

use extension::Extension;

/// The type of a field, as PyArrow writes it.
///
/// It takes the field and not its data type alone, because it is the field that says whether a
/// dictionary is ordered and of which extension type the column is.
pub(crate) struct PyArrowType<'a>(pub(crate) &'a Field);

impl Display for PyArrowType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Extension::of(self.0) {
            Some(extension) => extension.fmt(f),
            None => StorageType::of(self.0).fmt(f),
        }
    }
}

impl Serialize for PyArrowType<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A type below any extension type.
struct StorageType<'a> {
    data_type: &'a DataType,
    dictionary_is_ordered: bool,
}

impl<'a> StorageType<'a> {
    fn of(field: &'a Field) -> Self {
        Self {
            data_type: field.data_type(),
            dictionary_is_ordered: field.dict_is_ordered().unwrap_or(false),
        }
    }

    /// The key or value type of a dictionary, which no field describes.
    fn bare(data_type: &'a DataType) -> Self {
        Self {
            data_type,
            dictionary_is_ordered: false,
        }
    }
}

impl Display for StorageType<'_> {
    // No `_` arm: a type that arrow-schema gains must be written here before this compiles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data_type {
            DataType::Null => f.write_str("null"),
            DataType::Boolean => f.write_str("bool"),
            DataType::Int8 => f.write_str("int8"),
            DataType::Int16 => f.write_str("int16"),
            DataType::Int32 => f.write_str("int32"),
            DataType::Int64 => f.write_str("int64"),
            DataType::UInt8 => f.write_str("uint8"),
            DataType::UInt16 => f.write_str("uint16"),
            DataType::UInt32 => f.write_str("uint32"),
            DataType::UInt64 => f.write_str("uint64"),
            DataType::Float16 => f.write_str("halffloat"),
            DataType::Float32 => f.write_str("float"),
            DataType::Float64 => f.write_str("double"),
            DataType::Timestamp(unit, zone) => match zone.as_deref() {
                None | Some("") => write!(f, "timestamp[{}]", abbreviation(unit)),
                Some(zone) => write!(f, "timestamp[{}, tz={zone}]", abbreviation(unit)),
            },
            DataType::Date32 => f.write_str("date32[day]"),
            DataType::Date64 => f.write_str("date64[ms]"),
            DataType::Time32(unit) => write!(f, "time32[{}]", abbreviation(unit)),
            DataType::Time64(unit) => write!(f, "time64[{}]", abbreviation(unit)),
            DataType::Duration(unit) => write!(f, "duration[{}]", abbreviation(unit)),
            DataType::Interval(IntervalUnit::YearMonth) => f.write_str("month_interval"),
            DataType::Interval(IntervalUnit::DayTime) => f.write_str("day_time_interval"),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                f.write_str("month_day_nano_interval")
            }
            DataType::Binary => f.write_str("binary"),
            DataType::FixedSizeBinary(width) => write!(f, "fixed_size_binary[{width}]"),
            DataType::LargeBinary => f.write_str("large_binary"),
            DataType::BinaryView => f.write_str("binary_view"),
            DataType::Utf8 => f.write_str("string"),
            DataType::LargeUtf8 => f.write_str("large_string"),
            DataType::Utf8View => f.write_str("string_view"),
            DataType::List(item) => write!(f, "list<{}>", Child(item)),
            DataType::ListView(item) => write!(f, "list_view<{}>", Child(item)),
            DataType::FixedSizeList(item, size) => {
                write!(f, "fixed_size_list<{}>[{size}]", Child(item))
            }
            DataType::LargeList(item) => write!(f, "large_list<{}>", Child(item)),
            DataType::LargeListView(item) => write!(f, "large_list_view<{}>", Child(item)),
            DataType::Struct(fields) => {
                f.write_str("struct<")?;
                separated(f, ", ", fields.iter().map(|field| Child(field)))?;
                f.write_str(">")
            }
            DataType::Union(fields, mode) => {
                f.write_str(match mode {
                    UnionMode::Sparse => "sparse_union<",
                    UnionMode::Dense => "dense_union<",
                })?;
                separated(
                    f,
                    ", ",
                    fields.iter().map(|(code, field)| Coded(Child(field), code)),
                )?;
                f.write_str(">")
            }
            DataType::Dictionary(indices, values) => write!(
                f,
                "dictionary<values={}, indices={}, ordered={}>",
                StorageType::bare(values),
                StorageType::bare(indices),
                u8::from(self.dictionary_is_ordered),
            ),
            DataType::Decimal32(precision, scale) => write!(f, "decimal32({precision}, {scale})"),
            DataType::Decimal64(precision, scale) => write!(f, "decimal64({precision}, {scale})"),
            DataType::Decimal128(precision, scale) => write!(f, "decimal128({precision}, {scale})"),
            DataType::Decimal256(precision, scale) => write!(f, "decimal256({precision}, {scale})"),
            DataType::Map(entries, keys_sorted) => write_map(f, entries, *keys_sorted),
            DataType::RunEndEncoded(run_ends, values) => write!(
                f,
                "run_end_encoded<run_ends: {}, values: {}>",
                PyArrowType(run_ends),
                PyArrowType(values),
            ),
        }
    }
}

/// A map shows neither the names of its fields nor whether they can be null. PyArrow would show
/// unusual names, such as the `keys` and `values` of many a Rust program, but replaces them by the
/// usual ones when it imports a map, over the C data interface and IPC alike.
fn write_map(f: &mut fmt::Formatter<'_>, entries: &Field, keys_sorted: bool) -> fmt::Result {
    let DataType::Struct(fields) = entries.data_type() else {
        return write!(f, "map<{}>", Child(entries));
    };
    let [key, value] = &fields[..] else {
        return write!(f, "map<{}>", Child(entries));
    };
    write!(f, "map<{}, {}", PyArrowType(key), PyArrowType(value))?;
    f.write_str(if keys_sorted { ", keys_sorted>" } else { ">" })
}

/// A field within a type: `name: type` or `name: type not null`, the name as it is.
struct Child<'a>(&'a Field);

impl Display for Child<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.name(), PyArrowType(self.0))?;
        if self.0.is_nullable() {
            Ok(())
        } else {
            f.write_str(" not null")
        }
    }
}

/// A field of a union, with its type code.
struct Coded<'a>(Child<'a>, i8);

impl Display for Coded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.0, self.1)
    }
}

fn separated(
    f: &mut fmt::Formatter<'_>,
    separator: &str,
    items: impl IntoIterator<Item = impl Display>,
) -> fmt::Result {
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn abbreviation(unit: &TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}
