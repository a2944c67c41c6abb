//! Vectors of several numbers, chosen at run time: AVX-512, AVX2 with FMA, or portable arrays.
//!
//! A [`Job`] is written once for any [`Lanes`]; [`Vectorized::run`] compiles it for each kind of
//! processor and picks the widest that the machine has. The end of a slice goes through the same
//! vector operations as its middle, with lanes left out, so that a value does not depend on where in
//! the slice it lies.

use std::mem::MaybeUninit;

/// A vector of `WIDTH` numbers of type `T`.
pub(super) trait Lanes<T: Copy>: Copy {
    /// Numbers in the vector.
    const WIDTH: usize;

    /// The same number in every lane.
    fn splat(value: T) -> Self;
    /// The `WIDTH` numbers from `from` on.
    ///
    /// # Safety
    ///
    /// All of them can be read.
    unsafe fn load(from: *const T) -> Self;
    /// The first `WIDTH` numbers of `from`; lanes beyond its end hold `fill`.
    fn load_or(from: &[T], fill: T) -> Self;
    /// Writes the first `room` lanes, or all if there is room for more.
    ///
    /// # Safety
    ///
    /// That many numbers can be written from `to` on.
    unsafe fn write(self, to: *mut T, room: usize);
    /// Writes the lanes to the start of `to`, leaving out what lies beyond its end.
    #[inline(always)]
    fn store(self, to: &mut [T]) {
        // SAFETY: the slice has room for its length.
        unsafe { self.write(to.as_mut_ptr(), to.len()) }
    }
    /// As [`Lanes::store`], to memory that may hold nothing yet.
    #[inline(always)]
    fn store_new(self, to: &mut [MaybeUninit<T>]) {
        // SAFETY: the slice has room for its length, and nothing of it is read.
        unsafe { self.write(to.as_mut_ptr().cast(), to.len()) }
    }
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// `self * factor + term`, rounded once where the processor can.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger of both in each lane; `other` where a lane of `self` is not a number.
    fn max(self, other: Self) -> Self;
    /// The smaller of both in each lane; `other` where a lane of `self` is not a number.
    fn min(self, other: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Sum of the lanes, in one fixed order.
    fn sum(self) -> T;
    /// `e` to the power of each lane, within 2 units in the last place; saturates for `f32`
    /// outside [-87, 88] instead of giving 0 or infinity.
    fn exp(self) -> Self;
    /// Writes eight rows of eight numbers as columns, each plus the level of its row; rows lie `pitches`
    /// apart before and after.
    ///
    /// # Safety
    ///
    /// All of them can be read from `from` on and written from `to` on.
    unsafe fn turn(from: *const T, levels: &[T; 8], to: *mut T, pitches: [usize; 2]);
}

/// Work that is written once for every kind of vector.
pub(super) trait Job<T: Copy> {
    /// What the work returns.
    type Output;
    /// Does the work. Implementations are `#[inline(always)]`, and so is everything that they call
    /// with `L`, because only then the compiler may use the processor's vectors.
    fn run<L: Lanes<T>>(self) -> Self::Output;
}

/// Number types that jobs can be run on.
pub(super) trait Vectorized: Copy {
    /// Runs `job` on the widest vectors that the machine has.
    fn run<J: Job<Self>>(job: J) -> J::Output;
}

impl Vectorized for f64 {
    fn run<J: Job<f64>>(job: J) -> J::Output {
        job.run::<Portable<f64>>()
    }
}

impl Vectorized for f32 {
    fn run<J: Job<f32>>(job: J) -> J::Output {
        #[cfg(target_arch = "x86_64")]
        match kind() {
            // SAFETY: `kind` names only what the processor has.
            Kind::Avx512 => return unsafe { x86::run_avx512(job) },
            // SAFETY: as above.
            Kind::Avx2 => return unsafe { x86::run_avx2(job) },
            Kind::Portable => {}
        }
        job.run::<Portable<f32>>()
    }
}

/// Kinds of vectors, narrowest first.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Portable,
    Avx2,
    Avx512,
}

/// The widest vectors that the machine has, or narrower ones where the environment variable
/// `EINTHOVEN_VECTORS` says `portable` or `avx2`: it exists so that every kind can be tested.
#[cfg(target_arch = "x86_64")]
fn kind() -> Kind {
    static KIND: std::sync::OnceLock<Kind> = std::sync::OnceLock::new();
    *KIND.get_or_init(|| {
        let most = match std::env::var("EINTHOVEN_VECTORS").as_deref() {
            Ok("portable") => Kind::Portable,
            Ok("avx2") => Kind::Avx2,
            _ => Kind::Avx512,
        };
        let widest = match (x86::has_avx512(), x86::has_avx2()) {
            (true, _) => Kind::Avx512,
            (_, true) => Kind::Avx2,
            _ => Kind::Portable,
        };
        widest.min(most)
    })
}

/// Eight numbers in an array, for any processor; on 64-bit Arm the compiler makes NEON of it.
#[derive(Clone, Copy)]
pub(super) struct Portable<T>([T; 8]);

macro_rules! portable {
    ($real:ty, $exp:expr) => {
        impl Lanes<$real> for Portable<$real> {
            const WIDTH: usize = 8;

            #[inline(always)]
            fn splat(value: $real) -> Self {
                Portable([value; 8])
            }
            #[inline(always)]
            unsafe fn load(from: *const $real) -> Self {
                // SAFETY: by the contract of the function; an array is aligned like its numbers.
                Portable(unsafe { from.cast::<[$real; 8]>().read() })
            }
            #[inline(always)]
            fn load_or(from: &[$real], fill: $real) -> Self {
                let mut lanes = [fill; 8];
                let count = from.len().min(8);
                lanes[..count].copy_from_slice(&from[..count]);
                Portable(lanes)
            }
            #[inline(always)]
            unsafe fn write(self, to: *mut $real, room: usize) {
                // SAFETY: by the contract of the function; the lanes lie in an array of eight.
                unsafe { self.0.as_ptr().copy_to_nonoverlapping(to, room.min(8)) }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                Portable(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                Portable(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                Portable(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                Portable(std::array::from_fn(|lane| self.0[lane] / other.0[lane]))
            }
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self {
                Portable(std::array::from_fn(|lane| match cfg!(target_arch = "aarch64") {
                    true => self.0[lane].mul_add(factor.0[lane], term.0[lane]),
                    false => self.0[lane] * factor.0[lane] + term.0[lane],
                }))
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                Portable(std::array::from_fn(
                    |lane| {
                        if self.0[lane] > other.0[lane] { self.0[lane] } else { other.0[lane] }
                    },
                ))
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                Portable(std::array::from_fn(
                    |lane| {
                        if self.0[lane] < other.0[lane] { self.0[lane] } else { other.0[lane] }
                    },
                ))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Portable(self.0.map(<$real>::sqrt))
            }
            #[inline(always)]
            fn sum(self) -> $real {
                let [a, b, c, d, e, f, g, h] = self.0;
                ((a + e) + (c + g)) + ((b + f) + (d + h))
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            unsafe fn turn(from: *const $real, levels: &[$real; 8], to: *mut $real, pitches: [usize; 2]) {
                for column in 0..8 {
                    let lanes = std::array::from_fn(|row: usize| {
                        // SAFETY: by the contract of the function.
                        let value = unsafe { from.add(row * pitches[0] + column).read() };
                        value + levels[row]
                    });
                    // SAFETY: as above; eight numbers are written.
                    unsafe { Portable(lanes).write(to.add(column * pitches[1]), 8) }
                }
            }
        }
    };
}

portable!(f32, |lanes: Portable<f32>| {
    exp_f32(lanes, |fraction, power| {
        Portable(std::array::from_fn(|lane| {
            let scale = (power.0[lane].to_bits() << 23).wrapping_add(0x3f80_0000);
            fraction.0[lane] * f32::from_bits(scale)
        }))
    })
});
portable!(f64, |lanes: Portable<f64>| Portable(lanes.0.map(f64::exp)));

/// Exponential by reduction to [-ln 2 / 2, ln 2 / 2] and the Taylor polynomial of degree 7 there
/// (error 1.5e-8 relative at the ends).
///
/// `scale` multiplies a vector with 2 to the power of an integer, which it gets as the sum of that
/// integer and 1.5 * 2^23: the integer then stands in the low bits of the mantissa.
#[inline(always)]
fn exp_f32<L: Lanes<f32>>(x: L, scale: impl Fn(L, L) -> L) -> L {
    const MAGIC: f32 = 12_582_912.0;
    // The clamped value comes second so that a lane that is not a number stays one.
    let x = L::splat(88.0).min(L::splat(-87.0).max(x));
    let power = x.mul_add(L::splat(std::f32::consts::LOG2_E), L::splat(MAGIC));
    let integer = power.sub(L::splat(MAGIC));
    // ln 2 in two parts, the first short enough that its product with an integer is exact.
    let rest = integer.mul_add(L::splat(-0.693_359_4), x);
    let rest = integer.mul_add(L::splat(2.121_944_4e-4), rest);
    let mut sum = L::splat(1.0 / 5040.0);
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(rest, L::splat(factor));
    }
    scale(sum, power)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Vectors of x86-64 processors.
    //!
    //! SAFETY of every block below: a vector type of this module is only ever handed to a job by
    //! `run_avx512` or `run_avx2`, whose callers have checked that the processor has the features;
    //! loads and stores check the length of the slice and leave out the lanes beyond its end.

    use std::arch::x86_64::*;

    use super::{Job, Lanes, exp_f32};

    #[inline]
    pub fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f") && has_avx2()
    }

    #[inline]
    pub fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    pub fn run_avx512<J: Job<f32>>(job: J) -> J::Output {
        job.run::<Avx512>()
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn run_avx2<J: Job<f32>>(job: J) -> J::Output {
        job.run::<Avx2>()
    }

    /// The first `count` numbers, below 16, from `from` on; other lanes are those of `fill`.
    #[inline(always)]
    unsafe fn load_first_512(from: *const f32, count: usize, fill: __m512) -> __m512 {
        unsafe { _mm512_mask_loadu_ps(fill, (1 << count) - 1, from) }
    }

    /// Writes the first `count` lanes, fewer than 16.
    #[inline(always)]
    unsafe fn store_first_512(to: *mut f32, count: usize, lanes: __m512) {
        unsafe { _mm512_mask_storeu_ps(to, (1 << count) - 1, lanes) }
    }

    /// All bits of the first `count` lanes, at most 8.
    #[inline(always)]
    unsafe fn first_256(count: usize) -> __m256i {
        const EDGE: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        unsafe { _mm256_loadu_si256(EDGE[8 - count..].as_ptr().cast()) }
    }

    /// The first `count` numbers, below 8, from `from` on; other lanes are those of `fill`.
    #[inline(always)]
    unsafe fn load_first_256(from: *const f32, count: usize, fill: __m256) -> __m256 {
        unsafe {
            let first = first_256(count);
            _mm256_blendv_ps(fill, _mm256_maskload_ps(from, first), _mm256_castsi256_ps(first))
        }
    }

    /// Writes the first `count` lanes, fewer than 8.
    #[inline(always)]
    unsafe fn store_first_256(to: *mut f32, count: usize, lanes: __m256) {
        unsafe { _mm256_maskstore_ps(to, first_256(count), lanes) }
    }

    /// Four rows of eight numbers, each plus its level, with pairs and then quadruples of them side by side.
    #[inline(always)]
    unsafe fn quads(from: *const f32, pitch: usize, levels: &[f32]) -> [__m256; 4] {
        unsafe {
            let a = _mm256_add_ps(_mm256_loadu_ps(from), _mm256_set1_ps(levels[0]));
            let b = _mm256_add_ps(_mm256_loadu_ps(from.add(pitch)), _mm256_set1_ps(levels[1]));
            let c = _mm256_add_ps(_mm256_loadu_ps(from.add(2 * pitch)), _mm256_set1_ps(levels[2]));
            let d = _mm256_add_ps(_mm256_loadu_ps(from.add(3 * pitch)), _mm256_set1_ps(levels[3]));
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (lower, higher) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps(low, lower, 0x44),
                _mm256_shuffle_ps(low, lower, 0xee),
                _mm256_shuffle_ps(high, higher, 0x44),
                _mm256_shuffle_ps(high, higher, 0xee),
            ]
        }
    }

    /// As [`Lanes::turn`]. No closures: they would not be compiled for the processor's vectors.
    #[inline(always)]
    unsafe fn turn_256(from: *const f32, levels: &[f32; 8], to: *mut f32, pitches: [usize; 2]) {
        unsafe {
            let upper = quads(from, pitches[0], &levels[..4]);
            let lower = quads(from.add(4 * pitches[0]), pitches[0], &levels[4..]);
            for column in 0..4 {
                let (upper, lower) = (upper[column], lower[column]);
                _mm256_storeu_ps(to.add(column * pitches[1]), _mm256_permute2f128_ps(upper, lower, 0x20));
                _mm256_storeu_ps(to.add((column + 4) * pitches[1]), _mm256_permute2f128_ps(upper, lower, 0x31));
            }
        }
    }

    macro_rules! lanes {
        ($name:ident, $vector:ty, $width:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident,
         $mul:ident, $div:ident, $fma:ident, $max:ident, $min:ident, $sqrt:ident, $sum:expr, $scale:expr,
         $load_first:ident, $store_first:ident) => {
            #[derive(Clone, Copy)]
            pub struct $name($vector);

            impl Lanes<f32> for $name {
                const WIDTH: usize = $width;

                #[inline(always)]
                fn splat(value: f32) -> Self {
                    unsafe { $name($splat(value)) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { $name($load(from)) }
                }
                #[inline(always)]
                fn load_or(from: &[f32], fill: f32) -> Self {
                    if from.len() >= $width {
                        return unsafe { $name($load(from.as_ptr())) };
                    }
                    // Only lanes within the slice are read.
                    unsafe { $name($load_first(from.as_ptr(), from.len(), $splat(fill))) }
                }
                #[inline(always)]
                unsafe fn write(self, to: *mut f32, room: usize) {
                    if room >= $width {
                        return unsafe { $store(to, self.0) };
                    }
                    unsafe { $store_first(to, room, self.0) }
                }
                #[inline(always)]
                fn add(self, other: Self) -> Self {
                    unsafe { $name($add(self.0, other.0)) }
                }
                #[inline(always)]
                fn sub(self, other: Self) -> Self {
                    unsafe { $name($sub(self.0, other.0)) }
                }
                #[inline(always)]
                fn mul(self, other: Self) -> Self {
                    unsafe { $name($mul(self.0, other.0)) }
                }
                #[inline(always)]
                fn div(self, other: Self) -> Self {
                    unsafe { $name($div(self.0, other.0)) }
                }
                #[inline(always)]
                fn mul_add(self, factor: Self, term: Self) -> Self {
                    unsafe { $name($fma(self.0, factor.0, term.0)) }
                }
                #[inline(always)]
                fn max(self, other: Self) -> Self {
                    unsafe { $name($max(self.0, other.0)) }
                }
                #[inline(always)]
                fn min(self, other: Self) -> Self {
                    unsafe { $name($min(self.0, other.0)) }
                }
                #[inline(always)]
                fn sqrt(self) -> Self {
                    unsafe { $name($sqrt(self.0)) }
                }
                #[inline(always)]
                fn sum(self) -> f32 {
                    unsafe { $sum(self.0) }
                }
                #[inline(always)]
                fn exp(self) -> Self {
                    exp_f32(self, |fraction: Self, power: Self| unsafe { $name($scale(fraction.0, power.0)) })
                }
                #[inline(always)]
                unsafe fn turn(from: *const f32, levels: &[f32; 8], to: *mut f32, pitches: [usize; 2]) {
                    unsafe { turn_256(from, levels, to, pitches) }
                }
            }
        };
    }

    lanes!(
        Avx512,
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_div_ps,
        _mm512_fmadd_ps,
        _mm512_max_ps,
        _mm512_min_ps,
        _mm512_sqrt_ps,
        |lanes| _mm512_reduce_add_ps(lanes),
        |fraction, power| {
            let scale = _mm512_slli_epi32(_mm512_castps_si512(power), 23);
            let scale = _mm512_add_epi32(scale, _mm512_set1_epi32(0x3f80_0000));
            _mm512_mul_ps(fraction, _mm512_castsi512_ps(scale))
        },
        load_first_512,
        store_first_512
    );

    lanes!(
        Avx2,
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_div_ps,
        _mm256_fmadd_ps,
        _mm256_max_ps,
        _mm256_min_ps,
        _mm256_sqrt_ps,
        |lanes| {
            let half = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
            let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)))
        },
        |fraction, power| {
            let scale = _mm256_slli_epi32(_mm256_castps_si256(power), 23);
            let scale = _mm256_add_epi32(scale, _mm256_set1_epi32(0x3f80_0000));
            _mm256_mul_ps(fraction, _mm256_castsi256_ps(scale))
        },
        load_first_256,
        store_first_256
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp<'a>(&'a [f32], &'a mut [f32]);

    impl Job<f32> for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes<f32>>(self) {
            for (from, to) in self.0.chunks(L::WIDTH).zip(self.1.chunks_mut(L::WIDTH)) {
                L::load_or(from, 0.0).exp().store(to);
            }
        }
    }

    fn check(run: impl Fn(Exp)) {
        let x: Vec<f32> = (0..35_003).map(|step| -87.0 + step as f32 * 0.005).collect();
        let mut y = vec![0.0; x.len()];
        run(Exp(&x, &mut y));
        for (x, y) in x.iter().zip(&y) {
            let exact = f64::from(x.min(88.0)).exp();
            assert!((f64::from(*y) / exact - 1.0).abs() < 3e-7, "exp({x}) = {y}");
        }
        run(Exp(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &mut y));
        assert!(y[0].is_nan() && y[1] > 1e38 && y[2] < 1e-37);
    }

    /// Copies in vectors that begin at every place of a slice.
    struct Copied<'a>(&'a [f32], &'a mut Vec<Vec<f32>>);

    impl Job<f32> for Copied<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes<f32>>(self) {
            for first in 0..=self.0.len() {
                let mut out = vec![-1.0; self.0.len() - first];
                let lanes = L::load_or(&self.0[first..], 7.0);
                lanes.store(&mut out);
                out.push(lanes.sum());
                self.1.push(out);
            }
        }
    }

    #[test]
    fn the_end_of_a_slice_is_read_and_written_within_its_bounds() {
        let x: Vec<f32> = (1..=19).map(|value| value as f32).collect();
        let check = |width: usize, run: &dyn Fn(Copied)| {
            let mut found = Vec::new();
            run(Copied(&x, &mut found));
            for (first, found) in found.iter().enumerate() {
                let n = (x.len() - first).min(width);
                let mut expected = x[first..first + n].to_vec();
                expected.resize(x.len() - first, -1.0);
                expected.push(x[first..first + n].iter().sum::<f32>() + 7.0 * (width - n) as f32);
                assert_eq!(found, &expected, "width {width}, from {first} on");
            }
        };
        check(8, &|job| job.run::<Portable<f32>>());
        #[cfg(target_arch = "x86_64")]
        {
            if x86::has_avx2() {
                // SAFETY: the processor has the features.
                check(8, &|job| unsafe { x86::run_avx2(job) });
            }
            if x86::has_avx512() {
                // SAFETY: the processor has the features.
                check(16, &|job| unsafe { x86::run_avx512(job) });
            }
        }
    }

    #[test]
    fn exp_is_accurate_on_every_kind_of_vector() {
        check(|job| job.run::<Portable<f32>>());
        check(|job| f32::run(job));
        #[cfg(target_arch = "x86_64")]
        if x86::has_avx2() {
            // SAFETY: the processor has the features.
            check(|job| unsafe { x86::run_avx2(job) });
        }
    }
}
