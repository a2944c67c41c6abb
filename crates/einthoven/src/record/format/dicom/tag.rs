//! The tags, object classes and codes of DICOM ECG waveforms, as far as they are used.
//!
//! # Reference
//! DICOM PS3.3 C.10.9 (waveform), C.10.10 (annotation); PS3.6; PS3.16 CID 3001 (ECG leads).

pub(super) const MEDIA_CLASS: u32 = 0x0002_0002;
pub(super) const TRANSFER_SYNTAX: u32 = 0x0002_0010;
pub(super) const SOP_CLASS: u32 = 0x0008_0016;
pub(super) const SYNTHETIC_DATA: u32 = 0x0008_001C;
pub(super) const ACQUISITION_TIME: u32 = 0x0008_002A;
pub(super) const CODE: u32 = 0x0008_0100;
pub(super) const SCHEME: u32 = 0x0008_0102;
pub(super) const MEANING: u32 = 0x0008_0104;
pub(super) const PATIENT_NAME: u32 = 0x0010_0010;
pub(super) const N_CHANNELS: u32 = 0x003A_0005;
pub(super) const N_POINTS: u32 = 0x003A_0010;
pub(super) const FS_HZ: u32 = 0x003A_001A;
pub(super) const GROUP_LABEL: u32 = 0x003A_0020;
pub(super) const CHANNELS: u32 = 0x003A_0200;
pub(super) const CHANNEL_LABEL: u32 = 0x003A_0203;
pub(super) const SOURCE: u32 = 0x003A_0208;
pub(super) const SENSITIVITY: u32 = 0x003A_0210;
pub(super) const UNITS: u32 = 0x003A_0211;
pub(super) const CORRECTION: u32 = 0x003A_0212;
pub(super) const BASELINE: u32 = 0x003A_0213;
pub(super) const SKEW: u32 = 0x003A_0215;
pub(super) const BITS_STORED: u32 = 0x003A_021A;
pub(super) const REFERENCED_CHANNELS: u32 = 0x0040_A0B0;
pub(super) const TEMPORAL_TYPE: u32 = 0x0040_A130;
pub(super) const POSITIONS: u32 = 0x0040_A132;
pub(super) const ANNOTATIONS: u32 = 0x0040_B020;
pub(super) const TEXT: u32 = 0x0070_0006;
pub(super) const WAVEFORMS: u32 = 0x5400_0100;
pub(super) const BITS_ALLOCATED: u32 = 0x5400_1004;
pub(super) const INTERPRETATION: u32 = 0x5400_1006;
pub(super) const PADDING: u32 = 0x5400_100A;
pub(super) const DATA: u32 = 0x5400_1010;
pub(super) const ITEM: u32 = 0xFFFE_E000;
pub(super) const ITEM_END: u32 = 0xFFFE_E00D;
pub(super) const SEQUENCE_END: u32 = 0xFFFE_E0DD;

/// Elements that the reader uses; all others are stepped over.
pub(super) const WANTED: [u32; 27] = [
    MEDIA_CLASS,
    TRANSFER_SYNTAX,
    SOP_CLASS,
    SYNTHETIC_DATA,
    ACQUISITION_TIME,
    CODE,
    MEANING,
    PATIENT_NAME,
    N_CHANNELS,
    N_POINTS,
    FS_HZ,
    GROUP_LABEL,
    CHANNELS,
    CHANNEL_LABEL,
    SOURCE,
    SENSITIVITY,
    UNITS,
    CORRECTION,
    BASELINE,
    POSITIONS,
    ANNOTATIONS,
    TEXT,
    WAVEFORMS,
    BITS_ALLOCATED,
    INTERPRETATION,
    PADDING,
    DATA,
];

/// Sequences by tag, for the encoding that does not say so.
pub(super) const SEQUENCES: [u32; 5] = [CHANNELS, SOURCE, UNITS, ANNOTATIONS, WAVEFORMS];

pub(super) const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
pub(super) const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
/// Transfer syntaxes that are known and not read.
pub(super) const UNREAD_SYNTAXES: [(&str, &str); 2] =
    [("1.2.840.10008.1.2.2", "big endian"), ("1.2.840.10008.1.2.1.99", "deflated")];

pub(super) const TWELVE_LEAD: &str = "1.2.840.10008.5.1.4.1.1.9.1.1";
pub(super) const GENERAL_ECG: &str = "1.2.840.10008.5.1.4.1.1.9.1.2";
/// Classes of ECG waveforms that are read.
pub(super) const ECG_CLASSES: [&str; 4] =
    [TWELVE_LEAD, GENERAL_ECG, "1.2.840.10008.5.1.4.1.1.9.1.3", "1.2.840.10008.5.1.4.1.1.9.1.4"];

/// Codes of the twelve leads in ISO/IEEE 11073 (scheme MDC); SCP-ECG counts the same way behind `5.6.3-9-`.
pub(super) const LEAD_CODES: [(&str, u16); 12] = [
    ("I", 1),
    ("II", 2),
    ("V1", 3),
    ("V2", 4),
    ("V3", 5),
    ("V4", 6),
    ("V5", 7),
    ("V6", 8),
    ("III", 61),
    ("aVR", 62),
    ("aVL", 63),
    ("aVF", 64),
];
