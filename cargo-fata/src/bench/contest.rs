//! Ours and Linux in turns under the same load: what a unit of work costs each, and the ratio with its spread.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::plot;

/// Our runs come first and last, so that a drift of the machine shows.
const ROUNDS: usize = 3;

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Guest CPU a unit of work, in the unit that [`Load::cost_unit`] names.
    pub cost: f64,
    /// Units of work a second, likewise.
    pub rate: f64,
    /// Cores that others kept busy meanwhile.
    pub others: f64,
}

/// A load, and the units of its figures.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// What it is called.
    pub name: &'static str,
    /// Such as `us a request`.
    pub cost_unit: &'static str,
    /// Such as `requests/s`.
    pub rate_unit: &'static str,
}

/// All runs of one load.
#[derive(Debug)]
pub struct Contest {
    /// The load.
    pub load: Load,
    fata: Vec<Run>,
    linux: Vec<Run>,
}

/// A ratio, and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Of the best of each: whatever disturbs a run makes it worse.
    pub best: f64,
    /// Linux's best to our worst.
    pub least: f64,
    /// Linux's worst to our best.
    pub most: f64,
}

/// The loads of one benchmark: those that have figures, and which have none.
#[derive(Default)]
pub struct Contests {
    /// In the order in which they were held.
    pub held: Vec<Contest>,
    failed: Vec<&'static str>,
}

impl Contests {
    /// Holds one more; a load without figures is said, and the others go on.
    pub fn hold(
        &mut self,
        load: Load,
        fata: impl FnMut() -> Result<Run>,
        linux: impl FnMut() -> Result<Run>,
    ) {
        match Contest::hold(load, fata, linux) {
            Ok(contest) => self.held.push(contest),
            Err(error) => {
                println!("{}: no ratio: {error:#}", load.name);
                self.failed.push(load.name);
            }
        }
    }

    /// An error that names the loads without figures, if there are any.
    pub fn complete(&self) -> Result<()> {
        ensure!(self.failed.is_empty(), "no figures of: {}", self.failed.join(", "));
        Ok(())
    }
}

impl Contest {
    /// Runs a load A-B-A-B-A, ours first. An error - lost requests, say - ends it: there is no ratio then.
    pub fn hold(
        load: Load,
        mut fata: impl FnMut() -> Result<Run>,
        mut linux: impl FnMut() -> Result<Run>,
    ) -> Result<Self> {
        let mut contest = Self { load, fata: Vec::new(), linux: Vec::new() };
        for round in 0..ROUNDS {
            if round > 0 {
                contest.linux.push(linux()?);
            }
            contest.fata.push(fata()?);
        }
        contest.print();
        Ok(contest)
    }

    /// What Linux costs, ours being 1.
    pub fn cost_ratio(&self) -> Ratio {
        let (fata, linux) = (costs(&self.fata), costs(&self.linux));
        Ratio {
            best: least(&linux) / least(&fata),
            least: least(&linux) / most(&fata),
            most: most(&linux) / least(&fata),
        }
    }

    /// Our rate, Linux's being 1.
    pub fn rate_ratio(&self) -> f64 {
        most(&rates(&self.fata)) / most(&rates(&self.linux))
    }

    fn print(&self) {
        let Load { name, cost_unit, rate_unit } = self.load;
        println!("{name}: guest CPU, {cost_unit}");
        for (who, runs) in [("fata", &self.fata), ("linux", &self.linux)] {
            let list = costs(runs).iter().map(|cost| figure(*cost)).collect::<Vec<_>>().join(" ");
            println!(
                "  {who:5}  best {:>9}   runs {list}   best rate {} {rate_unit}",
                figure(least(&costs(runs))),
                figure(most(&rates(runs)))
            );
        }
        let ratio = self.cost_ratio();
        let rate = self.rate_ratio();
        let lower = if rate < 1.0 { ": lower than Linux's" } else { "" };
        println!(
            "  linux costs {:.1} times as much ({:.1} to {:.1}); our rate is {rate:.2} times its{lower}",
            ratio.best, ratio.least, ratio.most
        );
    }

    /// For the file of results.
    pub fn to_json(&self) -> Value {
        let runs = |runs: &[Run]| -> Vec<Value> {
            let run = |run: &Run| json!({ "cost": run.cost, "rate": run.rate, "others_cores": run.others });
            runs.iter().map(run).collect()
        };
        let ratio = self.cost_ratio();
        json!({
            "name": self.load.name,
            "cost_unit": self.load.cost_unit,
            "rate_unit": self.load.rate_unit,
            "fata": runs(&self.fata),
            "linux": runs(&self.linux),
            "linux_cost_to_ours": { "best": ratio.best, "least": ratio.least, "most": ratio.most },
            "our_rate_to_linux": self.rate_ratio(),
        })
    }

    /// For the plot: the best cost of each.
    pub fn bars(&self, linux: &'static str) -> plot::Group<'static> {
        plot::Group {
            name: self.load.name,
            bars: vec![("fata", least(&costs(&self.fata))), (linux, least(&costs(&self.linux)))],
        }
    }
}

fn costs(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.cost).collect()
}

fn rates(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|run| run.rate).collect()
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}

/// Three digits that say something.
pub fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { name: "load", cost_unit: "us", rate_unit: "a second" };

    fn runs<const N: usize>(costs: [f64; N]) -> impl FnMut() -> Result<Run> {
        let mut costs = costs.into_iter();
        move || {
            let cost = costs.next().ok_or_else(|| anyhow::anyhow!("lost requests"))?;
            Ok(Run { cost, rate: 1000.0 / cost, others: 0.0 })
        }
    }

    #[test]
    fn ours_is_first_and_last_and_the_ratio_is_of_the_best() {
        let contest = Contest::hold(LOAD, runs([10.0, 20.0, 12.5]), runs([100.0, 150.0])).unwrap();
        assert_eq!((contest.fata.len(), contest.linux.len()), (3, 2));
        assert_eq!(contest.cost_ratio(), Ratio { best: 10.0, least: 5.0, most: 15.0 });
        assert_eq!(contest.rate_ratio(), 10.0);
        assert_eq!(contest.to_json()["linux_cost_to_ours"]["best"], 10.0);
    }

    #[test]
    fn a_run_that_fails_leaves_no_ratio() {
        assert!(Contest::hold(LOAD, runs([10.0]), runs([100.0, 150.0])).is_err());
        assert!(Contest::hold(LOAD, runs([10.0, 1.0, 1.0]), runs([100.0])).is_err());
    }
}
