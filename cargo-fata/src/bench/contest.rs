//! Ours and Linux in turns under the same load: what a unit of work costs each, and the ratio with its spread.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::plot;

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
    /// Which of its runs its figures are of.
    pub figure_of: FigureOf,
}

/// Which run counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureOf {
    /// The best: what disturbs a run makes it worse.
    Best,
    /// The one in the middle: luck makes it worse or better, as losses of packets do.
    Middle,
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
    /// Of the runs that count: the best of each, or those in the middle.
    pub best: f64,
    /// Of the runs that are the worst for us.
    pub least: f64,
    /// Of the runs that are the best for us.
    pub most: f64,
}

/// The loads of one benchmark: those that have figures, and which have none.
pub struct Contests {
    /// How often each runs. In turns, so that a drift of the machine shows; each as often, as the best of more runs is
    /// better.
    rounds: u32,
    /// In the order in which they were held.
    pub held: Vec<Contest>,
    failed: Vec<&'static str>,
}

impl Contests {
    /// None held yet.
    pub fn new(rounds: u32) -> Self {
        Self { rounds, held: Vec::new(), failed: Vec::new() }
    }

    /// Holds one more; a load without figures is said, and the others go on.
    pub fn hold(
        &mut self,
        load: Load,
        fata: impl FnMut() -> Result<Run>,
        linux: impl FnMut() -> Result<Run>,
    ) {
        match Contest::hold(load, self.rounds, fata, linux) {
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
    /// Runs a load A-B-A-B and so on, ours first. An error - lost requests, say - ends it: there is no ratio then.
    pub fn hold(
        load: Load,
        rounds: u32,
        mut fata: impl FnMut() -> Result<Run>,
        mut linux: impl FnMut() -> Result<Run>,
    ) -> Result<Self> {
        let mut contest = Self { load, fata: Vec::new(), linux: Vec::new() };
        for _ in 0..rounds {
            contest.fata.push(fata()?);
            contest.linux.push(linux()?);
        }
        contest.print();
        Ok(contest)
    }

    /// What Linux costs, ours being 1.
    pub fn cost_ratio(&self) -> Ratio {
        let (fata, linux) = (costs(&self.fata), costs(&self.linux));
        let best = match self.load.figure_of {
            FigureOf::Best => least(&linux) / least(&fata),
            FigureOf::Middle => middle(&linux) / middle(&fata),
        };
        Ratio { best, least: least(&linux) / most(&fata), most: most(&linux) / least(&fata) }
    }

    /// Our rate, Linux's being 1.
    pub fn rate_ratio(&self) -> Ratio {
        let (fata, linux) = (rates(&self.fata), rates(&self.linux));
        let best = match self.load.figure_of {
            FigureOf::Best => most(&fata) / most(&linux),
            FigureOf::Middle => middle(&fata) / middle(&linux),
        };
        Ratio { best, least: least(&fata) / most(&linux), most: most(&fata) / least(&linux) }
    }

    fn print(&self) {
        let Load { name, cost_unit, rate_unit, .. } = self.load;
        println!("{name}: guest CPU, {cost_unit}");
        for (who, runs) in [("fata", &self.fata), ("linux", &self.linux)] {
            let list = |figures: Vec<f64>| figures.into_iter().map(figure).collect::<Vec<_>>().join(" ");
            println!(
                "  {who:5}  best {:>9}   runs {}   rates {} {rate_unit}",
                figure(least(&costs(runs))),
                list(costs(runs)),
                list(rates(runs))
            );
        }
        let ratio = self.cost_ratio();
        let rate = self.rate_ratio();
        let lower = if rate.best < 1.0 { ": lower than Linux's" } else { "" };
        println!(
            "  linux costs {:.1} times as much ({:.1} to {:.1}); our rate is {:.2} times its ({:.2} to {:.2}){lower}",
            ratio.best, ratio.least, ratio.most, rate.best, rate.least, rate.most
        );
    }

    /// For the file of results.
    pub fn to_json(&self) -> Value {
        let runs = |runs: &[Run]| -> Vec<Value> {
            let run = |run: &Run| json!({ "cost": run.cost, "rate": run.rate, "others_cores": run.others });
            runs.iter().map(run).collect()
        };
        let spread = |ratio: Ratio| json!({ "best": ratio.best, "least": ratio.least, "most": ratio.most });
        let rate = self.rate_ratio();
        json!({
            "name": self.load.name,
            "cost_unit": self.load.cost_unit,
            "rate_unit": self.load.rate_unit,
            "fata": runs(&self.fata),
            "linux": runs(&self.linux),
            "figure_of": if self.load.figure_of == FigureOf::Best { "best" } else { "middle" },
            "linux_cost_to_ours": spread(self.cost_ratio()),
            "our_rate_to_linux": rate.best,
            "our_rate_to_linux_spread": spread(rate),
        })
    }

    /// For the plot: the best cost of each; where luck decides it decides about rates, and it is the rate in the middle.
    pub fn bars(&self, linux: &'static str) -> plot::Group<'static> {
        let length = |runs: &[Run]| match self.load.figure_of {
            FigureOf::Best => least(&costs(runs)),
            FigureOf::Middle => middle(&rates(runs)),
        };
        plot::Group {
            name: self.load.name,
            bars: vec![("fata", length(&self.fata)), (linux, length(&self.linux))],
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

/// The one in the middle; between two, the mean.
fn middle(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
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

    const LOAD: Load =
        Load { name: "load", cost_unit: "us", rate_unit: "a second", figure_of: FigureOf::Best };

    fn runs<const N: usize>(costs: [f64; N]) -> impl FnMut() -> Result<Run> {
        let mut costs = costs.into_iter();
        move || {
            let cost = costs.next().ok_or_else(|| anyhow::anyhow!("lost requests"))?;
            Ok(Run { cost, rate: 1000.0 / cost, others: 0.0 })
        }
    }

    #[test]
    fn each_has_as_many_runs_and_the_ratio_is_of_the_best() {
        let contest = Contest::hold(LOAD, 3, runs([10.0, 20.0, 12.5]), runs([100.0, 150.0, 120.0])).unwrap();
        assert_eq!((contest.fata.len(), contest.linux.len()), (3, 3));
        assert_eq!(contest.cost_ratio(), Ratio { best: 10.0, least: 5.0, most: 15.0 });
        assert_eq!(contest.rate_ratio().best, 10.0);
        assert_eq!(contest.to_json()["linux_cost_to_ours"]["best"], 10.0);
    }

    #[test]
    fn where_luck_decides_the_middle_counts() {
        let load = Load { figure_of: FigureOf::Middle, ..LOAD };
        let contest = Contest::hold(load, 3, runs([10.0, 40.0, 20.0]), runs([100.0, 10.0, 40.0])).unwrap();
        assert_eq!(contest.cost_ratio().best, 2.0);
        assert_eq!(contest.rate_ratio(), Ratio { best: 2.0, least: 0.25, most: 10.0 });
        assert_eq!(contest.bars("linux").bars, [("fata", 50.0), ("linux", 25.0)]);
    }

    #[test]
    fn a_run_that_fails_leaves_no_ratio() {
        assert!(Contest::hold(LOAD, 3, runs([10.0]), runs([100.0, 150.0])).is_err());
        assert!(Contest::hold(LOAD, 3, runs([10.0, 1.0, 1.0]), runs([100.0])).is_err());
    }
}
