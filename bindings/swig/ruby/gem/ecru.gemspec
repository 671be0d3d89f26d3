# Made into a gem by tests/package.sh, from a directory with lib/ and ext/ecru/: the wrapper SWIG has written, headers and libecru.a.
Gem::Specification.new do |gem|
  gem.name = "ecru"
  gem.version = ENV.fetch("ECRU_VERSION")
  gem.platform = Gem::Platform::CURRENT
  gem.summary = "Goroutines' channels, select, tokens, groups and timers for Ruby's threads"
  gem.authors = ["The ecru authors"]
  gem.license = "MIT"
  gem.required_ruby_version = ">= 3.1"
  gem.files = Dir["lib/**/*.rb", "ext/ecru/**/*", "LICENSE"].select { |path| File.file?(path) }
  gem.extensions = ["ext/ecru/extconf.rb"]
end
