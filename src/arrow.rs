//! stub
pub(crate) struct Columns<'a>(pub(crate) &'a arrow_schema::Schema);
impl serde::Serialize for Columns<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq([0u8; 0])
    }
}
