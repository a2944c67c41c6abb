//! Devices by name: where the tensors live and the networks compute.
//!
//! A device is a value of the framework and nothing is opened before it is asked for by name. What a
//! device needs (a feature of the build, a driver, an adapter) is looked for first, because the
//! framework panics where it is missing.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Names of all devices, whether or not this build has them.
pub const DEVICES: &[&str] = &["cpu", "wgpu", "cuda"];

/// The device of a name: `cpu`, `wgpu` (Vulkan, Metal or Direct3D) or `cuda`.
///
/// # Errors
/// [`Error::Unsupported`] for a device that this build or this machine does not have, with what is
/// missing; [`Error::Unknown`].
pub fn device(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::flex()),
        "wgpu" => wgpu(),
        "cuda" => cuda(),
        _ => Err(Error::Unknown {
            kind: "device",
            name: name.into(),
            known: DEVICES.iter().map(|name| name.to_string()).collect(),
        }),
    }
}

#[cfg(feature = "gpu")]
fn wgpu() -> Result<Device> {
    use burn::tensor::{DeviceKind, DeviceType};
    if Device::enumerate(DeviceType::Wgpu).is_empty() {
        return Err(missing(
            "wgpu",
            "no graphics adapter and no software driver was found by Vulkan, Metal or Direct3D",
        ));
    }
    opened("wgpu", || Device::wgpu(DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "gpu"))]
fn wgpu() -> Result<Device> {
    Err(missing("wgpu", "this build lacks it: build with --features gpu"))
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    use burn::tensor::DeviceType;
    // The driver's library is only looked for here, so a machine without one is told apart from a failure.
    if Device::enumerate(DeviceType::Cuda).is_empty() {
        return Err(missing("cuda", "no NVIDIA driver, or no card that it knows, was found"));
    }
    opened("cuda", || Device::cuda(0))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device> {
    Err(missing("cuda", "this build lacks it: build with --features cuda"))
}

/// A device that has computed and answered once.
///
/// A driver that is there and does not work ends in a panic of the framework, on this thread or in an
/// answer that never comes; both are an error here.
#[cfg(any(feature = "gpu", feature = "cuda"))]
fn opened(name: &str, open: impl FnOnce() -> Device + std::panic::UnwindSafe) -> Result<Device> {
    use burn::tensor::Tensor;
    let probe = move || {
        let device = open();
        let one = Tensor::<1>::ones([1], &device) + 1.0;
        one.try_into_vec_as::<f32>().ok().filter(|values| values == &[2.0]).map(|_| device)
    };
    match std::panic::catch_unwind(probe) {
        Ok(Some(device)) => Ok(device),
        Ok(None) | Err(_) => Err(missing(name, "its driver is there, but does not compute")),
    }
}

fn missing(name: &str, why: &str) -> Error {
    Error::Unsupported { what: format!("device {name} ({why}; or use --device cpu)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_no_kind_is_refused_with_the_names_of_all() {
        let message = device("gpu").unwrap_err().to_string();
        assert!(DEVICES.iter().all(|name| message.contains(name)), "{message}");
    }

    /// Every name gives a device or one line that says what is missing, and never a panic.
    #[test]
    fn every_name_gives_a_device_or_the_reason_why_not() {
        for name in DEVICES {
            match device(name) {
                Ok(_) => {}
                Err(error @ Error::Unsupported { .. }) => {
                    let message = error.to_string();
                    assert!(message.starts_with(&format!("device {name} (")), "{message}");
                    assert!(!message.contains('\n') && message.contains("--device cpu"), "{message}");
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert!(device("cpu").is_ok());
    }
}
