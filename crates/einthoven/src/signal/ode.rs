//! One step of the classical Runge-Kutta method for a system of ordinary differential equations.

/// State after one step of length `h` from `y` at time `t`, for `dy/dt = f(t, y)`; fourth order.
///
/// # Reference
/// Kutta 1901, the method with nodes 0, 1/2, 1/2, 1 and weights 1/6, 1/3, 1/3, 1/6.
pub fn rk4_step<const N: usize>(f: impl Fn(f64, &[f64; N]) -> [f64; N], t: f64, y: &[f64; N], h: f64) -> [f64; N] {
    let shifted = |k: &[f64; N], by: f64| std::array::from_fn(|i| y[i] + by * k[i]);
    let k1 = f(t, y);
    let k2 = f(t + 0.5 * h, &shifted(&k1, 0.5 * h));
    let k3 = f(t + 0.5 * h, &shifted(&k2, 0.5 * h));
    let k4 = f(t + h, &shifted(&k3, h));
    std::array::from_fn(|i| y[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_falls_with_the_fourth_power_of_the_step() {
        // dy/dt = y cos t has the solution exp(sin t).
        let error = |n: usize| {
            let h = 2.0 / n as f64;
            let mut y = [1.0];
            for step in 0..n {
                y = rk4_step(|t, y| [y[0] * t.cos()], step as f64 * h, &y, h);
            }
            (y[0] - 2.0_f64.sin().exp()).abs()
        };
        let order = (error(20) / error(40)).log2();
        assert!((order - 4.0).abs() < 0.3, "measured order {order}");
    }
}
