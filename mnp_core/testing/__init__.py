"""What plugin authors test with: builders of objects, fakes that behave, namespaces with links, conformance classes."""
