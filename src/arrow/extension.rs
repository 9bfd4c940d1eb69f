//! The extension types that PyArrow registers by itself.

use std::borrow::Cow;
use std::fmt::{self, Display};

use arrow_schema::{DataType, Field};
use serde::Deserialize;

use super::{PyArrowType, StorageType, separated};

/// An extension type that PyArrow, as imported, writes by its own name instead of its storage.
///
/// These are `arrow.bool8`, `arrow.fixed_shape_tensor`, `arrow.json`, `arrow.opaque`, `arrow.uuid`
/// and `arrow.variable_shape_tensor`. Any other name, and metadata or storage that PyArrow refuses
/// for the name, is no extension type here: the field is then written as its storage.
pub(super) enum Extension<'a> {
    Plain(&'a str),
    Opaque(StorageType<'a>, Opaque<'a>),
    FixedShapeTensor(PyArrowType<'a>, FixedShape),
    VariableShapeTensor(PyArrowType<'a>, usize, VariableShape),
}

impl<'a> Extension<'a> {
    pub(super) fn of(field: &'a Field) -> Option<Self> {
        let name = field.extension_type_name()?;
        let metadata = field.extension_type_metadata().unwrap_or_default();
        match (name, field.data_type()) {
            ("arrow.bool8", DataType::Int8) | ("arrow.uuid", DataType::FixedSizeBinary(16))
                if metadata.is_empty() =>
            {
                Some(Self::Plain(name))
            }
            ("arrow.json", DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Some(Self::Plain(name))
            }
            ("arrow.opaque", _) => {
                let opaque = serde_json::from_str(metadata).ok()?;
                Some(Self::Opaque(StorageType::of(field), opaque))
            }
            ("arrow.fixed_shape_tensor", DataType::FixedSizeList(value, size)) => {
                let shape: FixedShape = serde_json::from_str(metadata).ok()?;
                shape
                    .describes(*size)
                    .then_some(Self::FixedShapeTensor(PyArrowType(value), shape))
            }
            ("arrow.variable_shape_tensor", DataType::Struct(fields)) => {
                let (value, dimensions) = variable_shape_storage(fields)?;
                let shape: VariableShape = serde_json::from_str(metadata).ok()?;
                shape
                    .describes(dimensions)
                    .then_some(Self::VariableShapeTensor(
                        PyArrowType(value),
                        dimensions,
                        shape,
                    ))
            }
            _ => None,
        }
    }
}

impl Display for Extension<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => write!(f, "extension<{name}>"),
            Self::Opaque(
                storage,
                Opaque {
                    type_name,
                    vendor_name,
                },
            ) => write!(
                f,
                "extension<arrow.opaque[storage_type={storage}, type_name={type_name}, \
                 vendor_name={vendor_name}]>"
            ),
            Self::FixedShapeTensor(value, shape) => {
                write!(
                    f,
                    "extension<arrow.fixed_shape_tensor[value_type={value}, shape="
                )?;
                bracketed(f, &shape.shape)?;
                shape.axes.fmt(f)?;
                f.write_str("]>")
            }
            Self::VariableShapeTensor(value, dimensions, shape) => {
                write!(
                    f,
                    "extension<arrow.variable_shape_tensor[value_type={value}, ndim={dimensions}"
                )?;
                shape.axes.fmt(f)?;
                if let Some(sizes @ [_, ..]) = shape.uniform_shape.as_deref() {
                    f.write_str(", uniform_shape=")?;
                    bracketed(f, sizes.iter().map(|size| OrNull(*size)))?;
                }
                f.write_str("]>")
            }
        }
    }
}

/// The metadata of `arrow.opaque`.
#[derive(Deserialize)]
pub(super) struct Opaque<'a> {
    #[serde(borrow)]
    type_name: Cow<'a, str>,
    #[serde(borrow)]
    vendor_name: Cow<'a, str>,
}

/// The metadata of `arrow.fixed_shape_tensor`.
#[derive(Deserialize)]
pub(super) struct FixedShape {
    shape: Vec<i64>,
    #[serde(flatten)]
    axes: Axes,
}

impl FixedShape {
    /// Whether it fits lists of this size.
    fn describes(&self, list_size: i32) -> bool {
        let product = self.shape.iter().try_fold(1_i64, |product, &size| {
            if size < 0 {
                None
            } else {
                product.checked_mul(size)
            }
        });
        product == Some(i64::from(list_size)) && self.axes.describe(self.shape.len())
    }
}

/// The metadata of `arrow.variable_shape_tensor`.
#[derive(Deserialize)]
pub(super) struct VariableShape {
    /// The sizes that every tensor of the column shares.
    uniform_shape: Option<Vec<Option<i64>>>,
    #[serde(flatten)]
    axes: Axes,
}

impl VariableShape {
    fn describes(&self, dimensions: usize) -> bool {
        self.uniform_shape.as_ref().is_none_or(|sizes| {
            sizes.len() == dimensions && sizes.iter().flatten().all(|&size| size >= 0)
        }) && self.axes.describe(dimensions)
    }
}

/// What both kinds of tensor say of their dimensions.
///
/// PyArrow refuses a `null` here. arrow-rs writes one for dimensions without names, so it counts as
/// absent: PyArrow has no other words for such a schema, having refused it whole.
#[derive(Deserialize)]
struct Axes {
    permutation: Option<Vec<i64>>,
    dim_names: Option<Vec<String>>,
}

impl Axes {
    fn describe(&self, dimensions: usize) -> bool {
        let permuted = self.permutation.as_ref().is_none_or(|permutation| {
            permutation.len() == dimensions
                && (0_i64..)
                    .zip(permutation)
                    .all(|(index, _)| permutation.contains(&index))
        });
        let named = self
            .dim_names
            .as_ref()
            .is_none_or(|names| names.len() == dimensions);
        permuted && named
    }
}

impl Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(permutation @ [_, ..]) = self.permutation.as_deref() {
            f.write_str(", permutation=")?;
            bracketed(f, permutation)?;
        }
        if let Some(names @ [_, ..]) = self.dim_names.as_deref() {
            f.write_str(", dim_names=")?;
            bracketed(f, names)?;
        }
        Ok(())
    }
}

/// The values' field and the number of dimensions, if the storage of `arrow.variable_shape_tensor`
/// is as PyArrow demands: `struct<data: list<value>, shape: fixed_size_list<int32>[dimensions]>`,
/// the names free, the values of a fixed width.
fn variable_shape_storage(fields: &[arrow_schema::FieldRef]) -> Option<(&Field, usize)> {
    let [data, shape] = fields else { return None };
    let (DataType::List(value), DataType::FixedSizeList(size, dimensions)) =
        (data.data_type(), shape.data_type())
    else {
        return None;
    };
    let has_fixed_width = value.data_type().primitive_width().is_some()
        || matches!(
            value.data_type(),
            DataType::Boolean | DataType::FixedSizeBinary(_) | DataType::Dictionary(_, _)
        );
    let is_fit =
        has_fixed_width && Extension::of(value).is_none() && *size.data_type() == DataType::Int32;
    is_fit.then_some((value, usize::try_from(*dimensions).ok()?))
}

/// A number, or the `null` of JSON.
struct OrNull(Option<i64>);

impl Display for OrNull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("null"),
        }
    }
}

fn bracketed(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = impl Display>,
) -> fmt::Result {
    f.write_str("[")?;
    separated(f, ",", items)?;
    f.write_str("]")
}
