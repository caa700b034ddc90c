module samebits.dev/tests/slsa-verifier

go 1.23.2

require github.com/slsa-framework/slsa-verifier/v2 v2.7.1
