use burn::tensor::{Device, Tensor};
use einthoven::nn::{adamw::*, unet1d::*, weights::*};
use einthoven::Seed;
fn main() {
    let a: Vec<usize> = std::env::args().skip(1).map(|v| v.parse().unwrap()).collect();
    let (width, stride, batch) = (a[0], a[1], a[2]);
    let mut c = Unet1dConfig::dgn(width, &[1, 2, 4], 5);
    c.stem_stride = stride;
    let net = Unet1d::new(c).unwrap();
    let mut w = Weights::initialize(&net.params(), Seed::new(1));
    println!("values {}", w.n_values());
    let mut opt = AdamW::new(AdamWConfig { ema_decay: 0.99, ..Default::default() }, &w);
    let dev = Device::flex();
    let mut x = vec![0f32; batch * 256];
    Seed::new(2).stream().fill_normal(&mut x);
    let classes: Vec<Option<usize>> = (0..batch).map(|i| Some(i % 5)).collect();
    for k in 0..6 {
        let t = std::time::Instant::now();
        let p = w.tracked(&dev);
        let d = dev.clone().autodiff();
        let xs = Tensor::<1>::from_floats(x.as_slice(), &d).reshape([batch, 1, 256]);
        let ts = Tensor::<1>::from_floats(vec![10.0f32; batch].as_slice(), &d);
        let y = net.forward(&p.root(), xs.clone(), ts, Some(&classes), None).unwrap();
        let f = t.elapsed();
        let loss = (y - xs).powi_scalar(2).mean();
        let l: f32 = loss.clone().into_scalar();
        let g = p.gradients(&loss.backward());
        let b = t.elapsed();
        let n = gradient_norm(&g);
        opt.update(&mut w, &g, n, 100);
        println!("step {k} fwd {f:?} +bwd {b:?} total {:?} loss {l}", t.elapsed());
    }
    let p = w.on(&dev);
    for _ in 0..3 {
        let t = std::time::Instant::now();
        let xs = Tensor::<1>::from_floats(x.as_slice(), &dev).reshape([batch, 1, 256]);
        let ts = Tensor::<1>::from_floats(vec![10.0f32; batch].as_slice(), &dev);
        let y = net.forward(&p.root(), xs.clone(), ts, Some(&classes), None).unwrap();
        let _ = host(y);
        println!("sample fwd {:?}", t.elapsed());
    }
}
