//! The picture in docs/auditing.md, drawn from the program's own plan.

use sampark::features::draws::{Basis, Risks};

use crate::openapi::compare;

#[test]
fn written_curve_of_the_usual_plan_is_what_the_program_computes() {
    let risks = Risks {
        acceptable: 0.05,
        unacceptable: 0.20,
        producer: 0.10,
        consumer: 0.10,
    };
    let plan = Basis::Risks(risks).plan().unwrap();
    let x = |rate: f64| 60.0 + rate / 0.35 * 560.0;
    let y = |chance: f64| 300.0 - chance * 260.0;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 360\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n",
    );
    svg += &format!(
        "<title>The chance that {} visits of which {} mismatches reject accept work, by its error rate</title>\n\
         <rect width=\"640\" height=\"360\" fill=\"white\"/>\n",
        plan.size, plan.decision_number
    );
    for tenth in 0..=5 {
        let chance = f64::from(tenth) / 5.0;
        svg += &format!(
            "<path d=\"M60 {y:.1}H620\" stroke=\"#ddd\"/><text x=\"52\" y=\"{t:.1}\" text-anchor=\"end\">{p:.0} %</text>\n",
            y = y(chance),
            t = y(chance) + 4.0,
            p = chance * 100.0
        );
    }
    for five in 0..=7 {
        let rate = f64::from(five) * 0.05;
        svg += &format!(
            "<text x=\"{:.1}\" y=\"318\" text-anchor=\"middle\">{:.0} %</text>\n",
            x(rate),
            rate * 100.0
        );
    }
    for (rate, word) in [
        (risks.acceptable, "acceptable"),
        (risks.unacceptable, "unacceptable"),
    ] {
        let chance = plan.accepts(rate);
        svg += &format!(
            "<path d=\"M{x:.1} 300V{y:.1}\" stroke=\"#b00\" stroke-dasharray=\"4 3\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#b00\"/>\
             <text x=\"{l:.1}\" y=\"{u:.1}\" fill=\"#b00\">{word}: accepted with {p:.1} %</text>\n",
            x = x(rate),
            y = y(chance),
            l = x(rate) + 8.0,
            u = y(chance) - 6.0,
            p = chance * 100.0
        );
    }
    let points: Vec<String> = (0..=140)
        .map(|n| {
            let rate = f64::from(n) * 0.0025;
            format!("{:.1},{:.1}", x(rate), y(plan.accepts(rate)))
        })
        .collect();
    svg += &format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#036\" stroke-width=\"2\"/>\n<path d=\"M60 40V300H620\" fill=\"none\" stroke=\"black\"/>\n",
        points.join(" ")
    );
    svg += &format!(
        "<text x=\"340\" y=\"345\" text-anchor=\"middle\">error rate of the work ({} drawn, {} mismatches reject)</text>\n\
         <text x=\"60\" y=\"24\">chance of being accepted</text>\n</svg>\n",
        plan.size, plan.decision_number
    );
    compare("docs/draw-curve.svg", &svg);
}
