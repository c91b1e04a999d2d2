// SPDX-License-Identifier: Apache-2.0

import Testing

extension StressTests {
  /// Each accepted send is seen by a later drain, whoever drains, and nothing runs that was not sent.
  @Suite struct Deferral {
    @Test(arguments: DeferralScenario.all)
    func acceptedSendsAreSeen(_ scenario: DeferralScenario) throws {
      try DeferralExperiment(scenario).run()
    }
  }
}
