//! Quantities as Kubernetes writes them: `100m`, `1.5Gi`, `2e3`.

/// A quantity, exactly, as far as it has a use: a number times a power of ten or of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// All digits, without the point.
    digits: i128,
    /// How far the point is from the right end of the digits, and the decimal suffix with it.
    tens: i32,
    /// The binary suffix: `Ki` is 10.
    twos: u32,
}

impl Quantity {
    /// None for what is no quantity.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
        let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && part.is_empty()) || !all_digits(whole) || !all_digits(part) {
            return None;
        }
        // More than thirty decimals are far below what counts.
        let part = &part[..part.len().min(DECIMALS_MAX)];
        let digits: i128 = format!("{whole}{part}").parse().unwrap_or(i128::MAX);
        let digits = if number.starts_with('-') { -digits } else { digits };
        let (tens, twos) = suffix_of(suffix)?;
        Some(Self { digits, tens: tens.checked_sub(i32::try_from(part.len()).ok()?)?, twos })
    }

    /// In whole units, rounded away from zero.
    pub(crate) fn value(self) -> i64 {
        self.scaled(0)
    }

    /// In thousandths, rounded away from zero.
    pub(crate) fn milli_value(self) -> i64 {
        self.scaled(3)
    }

    /// In units of `10^-decimals`; the ends of the range stand for what is beyond them.
    fn scaled(self, decimals: i32) -> i64 {
        let tens = self.tens.saturating_add(decimals);
        let power = 10_i128.checked_pow(tens.unsigned_abs());
        let digits = self.digits.checked_mul(1 << self.twos);
        let limit = if self.digits < 0 { i64::MIN } else { i64::MAX };
        let scaled = match (digits, power) {
            (_, _) if self.digits == 0 => Some(0),
            (Some(digits), Some(power)) if tens >= 0 => digits.checked_mul(power),
            (Some(digits), Some(power)) => {
                let away = if digits % power == 0 { 0 } else { digits.signum() };
                Some(digits / power + away)
            }
            // Smaller than anything that is not zero.
            (Some(digits), None) if tens < 0 => Some(digits.signum()),
            _ => None,
        };
        scaled.and_then(|scaled| i64::try_from(scaled).ok()).unwrap_or(limit)
    }
}

/// The power of ten and of two that a suffix stands for.
fn suffix_of(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => (suffix.strip_prefix(['e', 'E'])?.parse().ok()?, 0),
    })
}

const DECIMALS_MAX: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_its_value() {
        let table: [(&str, i64, i64); 24] = [
            ("0", 0, 0),
            ("2", 2, 2000),
            ("100m", 1, 100),
            ("1500m", 2, 1500),
            ("0.1", 1, 100),
            (".5", 1, 500),
            ("5.", 5, 5000),
            ("+3", 3, 3000),
            ("-100m", -1, -100),
            ("-2.5", -3, -2500),
            ("250n", 1, 1),
            ("250u", 1, 1),
            ("1k", 1000, 1_000_000),
            ("2M", 2_000_000, 2_000_000_000),
            ("1Ki", 1024, 1_024_000),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            ("128Mi", 134_217_728, 134_217_728_000),
            ("3Ti", 3_298_534_883_328, 3_298_534_883_328_000),
            ("2e3", 2000, 2_000_000),
            ("2E3", 2000, 2_000_000),
            ("12e-1", 2, 1200),
            ("1E", 1_000_000_000_000_000_000, i64::MAX),
            ("16Ei", i64::MAX, i64::MAX),
            ("-16Ei", i64::MIN, i64::MIN),
        ];
        for (text, value, milli) in table {
            let quantity = Quantity::parse(text).unwrap_or_else(|| panic!("{text} is a quantity"));
            assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
        }
    }

    #[test]
    fn what_is_too_small_or_too_long_is_rounded_and_does_not_overflow() {
        for (text, value) in [
            ("1e-400", 1),
            ("0e400", 0),
            ("1e400", i64::MAX),
            ("99999999999999999999999999999999999999999999", i64::MAX),
            ("0.00000000000000000000000000000000000000001", 0),
        ] {
            assert_eq!(Quantity::parse(text).map(Quantity::value), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in ["", ".", "m", "1x", "1 Gi", "1.2.3", "--1", "1e", "e3", "1Kib", "0x10"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
