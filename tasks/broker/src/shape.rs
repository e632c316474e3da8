//! The shape of each request we take, and a check of untrusted bytes against it before they are decoded.
//!
//! The protocol library reserves memory for as many elements as a length field claims; a forged length would
//! take the process down. A frame that passes here really holds the elements that it claims. Shapes are those
//! of the protocol's own definitions; a test compares them with the library's encoder.

use bytes::Buf;
use kafka_protocol::messages::ApiKey;

/// Elements of all lists of a frame together.
const MAX_ELEMENTS: u32 = 200_000;

#[derive(Debug, Clone, Copy)]
enum Field {
    /// So many bytes.
    Fixed(usize),
    /// Text, possibly null.
    Text,
    /// Bytes, possibly null.
    Blob,
    /// A list of values without tags, possibly null.
    List(&'static Field),
    /// A list of structures, possibly null.
    Rows(&'static [Field]),
    /// Present from this version on.
    From(i16, &'static Field),
    /// Present up to this version.
    Until(i16, &'static Field),
}

use Field::{Blob, Fixed, From, List, Rows, Text, Until};

const BOOL: Field = Fixed(1);
const I8: Field = Fixed(1);
const I16: Field = Fixed(2);
const I32: Field = Fixed(4);
const I64: Field = Fixed(8);

/// A request that we take: which versions, from which one on in the flexible encoding, and its fields.
pub(crate) struct Api {
    pub key: ApiKey,
    pub min: i16,
    pub max: i16,
    flexible: i16,
    fields: &'static [Field],
}

const fn api(key: ApiKey, min: i16, max: i16, flexible: i16, fields: &'static [Field]) -> Api {
    Api { key, min, max, flexible, fields }
}

/// Everything that this broker answers.
pub(crate) const APIS: [Api; 27] = [
    api(ApiKey::Produce, 3, 9, 9, &[Text, I16, I32, Rows(&[Text, Rows(&[I32, Blob])])]),
    api(ApiKey::Fetch, 4, 12, 12, FETCH),
    api(ApiKey::ListOffsets, 1, 6, 6, &[I32, From(2, &I8), Rows(&[Text, Rows(&[I32, From(4, &I32), I64])])]),
    api(ApiKey::Metadata, 0, 9, 9, &[Rows(&[Text]), From(4, &BOOL), From(8, &BOOL), From(8, &BOOL)]),
    api(ApiKey::OffsetCommit, 2, 8, 8, OFFSET_COMMIT),
    api(ApiKey::OffsetFetch, 1, 7, 6, &[Text, Rows(&[Text, List(&I32)]), From(7, &BOOL)]),
    api(ApiKey::FindCoordinator, 0, 3, 3, &[Text, From(1, &I8)]),
    api(ApiKey::JoinGroup, 0, 7, 6, JOIN_GROUP),
    api(ApiKey::Heartbeat, 0, 4, 4, &[Text, I32, Text, From(3, &Text)]),
    api(ApiKey::LeaveGroup, 0, 4, 4, &[Text, Until(2, &Text), From(3, &Rows(&[Text, Text]))]),
    api(ApiKey::SyncGroup, 0, 5, 4, SYNC_GROUP),
    api(ApiKey::DescribeGroups, 0, 5, 5, &[List(&Text), From(3, &BOOL)]),
    api(ApiKey::ListGroups, 0, 4, 3, &[From(4, &List(&Text))]),
    api(ApiKey::ApiVersions, 0, 3, 3, &[From(3, &Text), From(3, &Text)]),
    api(ApiKey::CreateTopics, 2, 6, 5, CREATE_TOPICS),
    api(ApiKey::DeleteTopics, 1, 5, 4, &[List(&Text), I32]),
    api(ApiKey::DeleteRecords, 0, 2, 2, &[Rows(&[Text, Rows(&[I32, I64])]), I32]),
    api(ApiKey::InitProducerId, 0, 4, 2, &[Text, I32, From(3, &I64), From(3, &I16)]),
    api(ApiKey::AddPartitionsToTxn, 0, 3, 3, &[Text, I64, I16, Rows(&[Text, List(&I32)])]),
    api(ApiKey::AddOffsetsToTxn, 0, 3, 3, &[Text, I64, I16, Text]),
    api(ApiKey::EndTxn, 0, 3, 3, &[Text, I64, I16, BOOL]),
    api(ApiKey::TxnOffsetCommit, 0, 3, 3, TXN_OFFSET_COMMIT),
    api(ApiKey::DescribeConfigs, 1, 4, 4, &[Rows(&[I8, Text, List(&Text)]), BOOL, From(3, &BOOL)]),
    api(ApiKey::AlterConfigs, 0, 2, 2, &[Rows(&[I8, Text, Rows(&[Text, Text])]), BOOL]),
    api(ApiKey::IncrementalAlterConfigs, 0, 1, 1, &[Rows(&[I8, Text, Rows(&[Text, I8, Text])]), BOOL]),
    api(ApiKey::CreatePartitions, 0, 3, 2, &[Rows(&[Text, I32, Rows(&[List(&I32)])]), I32, BOOL]),
    api(ApiKey::DeleteGroups, 0, 2, 2, &[List(&Text)]),
];

const FETCH: &[Field] = &[
    I32,
    I32,
    I32,
    I32,
    I8,
    From(7, &I32),
    From(7, &I32),
    Rows(&[Text, Rows(&[I32, From(9, &I32), I64, From(12, &I32), From(5, &I64), I32])]),
    From(7, &Rows(&[Text, List(&I32)])),
    From(11, &Text),
];
const OFFSET_COMMIT: &[Field] =
    &[Text, I32, Text, From(7, &Text), Until(4, &I64), Rows(&[Text, Rows(&[I32, I64, From(6, &I32), Text])])];
const JOIN_GROUP: &[Field] = &[Text, I32, From(1, &I32), Text, From(5, &Text), Text, Rows(&[Text, Blob])];
const SYNC_GROUP: &[Field] =
    &[Text, I32, Text, From(3, &Text), From(5, &Text), From(5, &Text), Rows(&[Text, Blob])];
const CREATE_TOPICS: &[Field] =
    &[Rows(&[Text, I32, I16, Rows(&[I32, List(&I32)]), Rows(&[Text, Text])]), I32, BOOL];
const TXN_OFFSET_COMMIT: &[Field] = &[
    Text,
    Text,
    I64,
    I16,
    From(3, &I32),
    From(3, &Text),
    From(3, &Text),
    Rows(&[Text, Rows(&[I32, I64, From(2, &I32), Text])]),
];

impl Api {
    pub fn of(key: i16) -> Option<&'static Self> {
        APIS.iter().find(|api| api.key as i16 == key)
    }

    pub fn takes(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// True if `header`, what follows version and correlation id, and body are of the right shape.
    pub fn fits(&self, version: i16, header_and_body: &[u8]) -> bool {
        let flexible = version >= self.flexible;
        let mut walk = Walk { rest: header_and_body, version, flexible, elements: 0 };
        walk.header().and_then(|()| walk.structure(self.fields)).is_some()
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: u32,
}

/// Each step gives `None` if the bytes end early or claim too much.
impl Walk<'_> {
    /// The client id, which is never in the flexible encoding, then tags.
    fn header(&mut self) -> Option<()> {
        let length = self.rest.try_get_i16().ok()?;
        self.skip(usize::try_from(length.max(0)).ok()?)?;
        self.tags()
    }

    fn structure(&mut self, fields: &[Field]) -> Option<()> {
        fields.iter().try_for_each(|field| self.field(field))?;
        self.tags()
    }

    fn field(&mut self, field: &Field) -> Option<()> {
        match *field {
            Fixed(bytes) => self.skip(bytes),
            Text => {
                let length =
                    if self.flexible { self.compact()? } else { length_of(self.rest.try_get_i16().ok()?)? };
                self.skip(length)
            }
            Blob => {
                let length = self.length()?;
                self.skip(length)
            }
            List(element) => self.repeat(|walk| walk.field(element)),
            Rows(fields) => self.repeat(|walk| walk.structure(fields)),
            From(version, field) if self.version >= version => self.field(field),
            Until(version, field) if self.version <= version => self.field(field),
            From(..) | Until(..) => Some(()),
        }
    }

    fn repeat(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        for _ in 0..self.length()? {
            self.elements += 1;
            if self.elements > MAX_ELEMENTS {
                return None;
            }
            element(self)?;
        }
        Some(())
    }

    fn length(&mut self) -> Option<usize> {
        if self.flexible { self.compact() } else { length_of(self.rest.try_get_i32().ok()?) }
    }

    /// A length in the flexible encoding: one more than it is, 0 for null.
    fn compact(&mut self) -> Option<usize> {
        Some(self.varint()?.saturating_sub(1) as usize)
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for step in 0..5 {
            let byte = self.rest.try_get_u8().ok()?;
            value |= u32::from(byte & 0x7f).checked_shl(7 * step)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn tags(&mut self) -> Option<()> {
        if !self.flexible {
            return Some(());
        }
        for _ in 0..self.varint()? {
            self.elements += 1;
            if self.elements > MAX_ELEMENTS {
                return None;
            }
            self.varint()?;
            let bytes = self.varint()?;
            self.skip(bytes as usize)?;
        }
        Some(())
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }
}

/// -1 stands for null.
fn length_of(length: impl Into<i64>) -> Option<usize> {
    match length.into() {
        -1 => Some(0),
        length => usize::try_from(length).ok(),
    }
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
