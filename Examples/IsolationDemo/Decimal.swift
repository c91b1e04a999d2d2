// SPDX-License-Identifier: Apache-2.0

/// A number with so many digits after the point and without an exponent: what tables and JSON
/// want, without Foundation.
///
///     decimal(3.14159, 2)  // "3.14"
func decimal(_ value: Double, _ digits: Int) -> String {
  let unit = (0..<digits).reduce(Int64(1)) { unit, _ in unit * 10 }
  let scaled = (value * Double(unit)).rounded()
  // What is no number, or too large for one, has no decimal form: JSON knows neither.
  guard let units = Int64(exactly: scaled) else { return "0" }
  let whole = "\(units.magnitude / unit.magnitude)"
  let sign = units < 0 ? "-" : ""
  if digits == 0 { return sign + whole }
  let fraction = "\(units.magnitude % unit.magnitude)"
  return sign + whole + "." + String(repeating: "0", count: digits - fraction.count) + fraction
}
