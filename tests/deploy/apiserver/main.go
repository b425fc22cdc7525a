// Judges a definition, and objects of its first version, with the code of the API server: PROGRAM DEFINITION <OBJECTS.
// Objects are JSON, by a name of the caller's; so are the answers.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

type answer struct {
	Definition []string            `json:"definition"`
	Objects    map[string][]string `json:"objects"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func texts(errs field.ErrorList) []string {
	found := []string{}
	for _, err := range errs {
		found = append(found, err.Error())
	}
	return found
}

func main() {
	raw, err := os.ReadFile(os.Args[1])
	must(err)
	var external v1.CustomResourceDefinition
	must(yaml.UnmarshalStrict(raw, &external))
	v1.SetDefaults_CustomResourceDefinition(&external)
	v1.SetDefaults_CustomResourceDefinitionSpec(&external.Spec)
	scheme := runtime.NewScheme()
	install.Install(scheme)
	var crd apiextensions.CustomResourceDefinition
	must(scheme.Convert(&external, &crd, nil))
	crd.Status.StoredVersions = []string{"v1beta1"}
	for _, version := range external.Spec.Versions {
		if version.Storage {
			crd.Status.StoredVersions = []string{version.Name}
		}
	}
	result := answer{Definition: texts(validation.ValidateCustomResourceDefinition(context.Background(), &crd)), Objects: map[string][]string{}}
	var objects map[string]map[string]any
	must(json.NewDecoder(os.Stdin).Decode(&objects))
	for name, object := range objects {
		result.Objects[name] = judge(&crd, object)
	}
	must(json.NewEncoder(os.Stdout).Encode(result))
}

func judge(crd *apiextensions.CustomResourceDefinition, object map[string]any) []string {
	internal, err := apiextensions.GetSchemaForVersion(crd, crd.Spec.Versions[0].Name)
	must(err)
	structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	must(err)
	validator, _, err := schemavalidation.NewSchemaValidator(internal.OpenAPIV3Schema)
	must(err)
	text, err := json.Marshal(object)
	must(err)
	var value map[string]any
	must(json.Unmarshal(text, &value))
	ints(value)
	pruning.Prune(value, structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(value, structural)
	defaulting.Default(value, structural)
	errs := schemavalidation.ValidateCustomResource(nil, value, validator)
	if len(errs) == 0 {
		rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
		errs, _ = rules.Validate(context.Background(), nil, structural, value, nil, celconfig.RuntimeCELCostBudget)
	}
	return texts(errs)
}

// Whole numbers are int64, as the API server's decoder has it.
func ints(value any) any {
	switch typed := value.(type) {
	case map[string]any:
		for key, child := range typed {
			typed[key] = ints(child)
		}
	case []any:
		for index, child := range typed {
			typed[index] = ints(child)
		}
	case float64:
		if typed == float64(int64(typed)) {
			return int64(typed)
		}
	}
	return value
}
